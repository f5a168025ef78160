import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import { type StaticPage, createStaticPage } from './static-page.ts';

/** Serves GraphiQL as a single page to browsers that open the endpoint. */
export interface GraphiQLPage extends StaticPage {
  accepts(request: IncomingMessage): boolean;
}

export function createGraphiQLPage(): GraphiQLPage {
  const html = renderGraphiQL({ title: 'Task status', defaultQuery: DEFAULT_QUERY });
  return {
    ...createStaticPage(html, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': contentSecurityPolicyOf(html),
    }),
    accepts: ({ method, headers }) =>
      method === 'GET' && (headers.accept ?? '').includes('text/html'),
  };
}

/** Allows only the page's own script. The editor adds inline styles, and its workers are blobs. */
function contentSecurityPolicyOf(html: string): string {
  const hashes = [...html.matchAll(/<script>([^]*?)<\/script>/g)].map(
    ([, script = '']) => `'sha256-${createHash('sha256').update(script).digest('base64')}'`,
  );
  return [
    "default-src 'none'",
    `script-src ${hashes.join(' ')}`,
    "style-src 'unsafe-inline'",
    "img-src data: 'self'",
    'font-src data:',
    'worker-src blob:',
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

const DEFAULT_QUERY = `query RunningTasks {
  taskStatuses(filter: { completionStatus: { isNull: true } }, first: 10) {
    nodes {
      id
      uniqueName
      state
      effectivePercentComplete
      target {
        name
      }
    }
  }
}
`;

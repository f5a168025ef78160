import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

/** A proxy that serves an origin under `/tenants/tasks/` only. Resolves to the URL of that path. */
export async function startPathProxy(t: Pick<TestContext, 'after'>, url: string): Promise<string> {
  const PREFIX = '/tenants/tasks';
  const { hostname, port } = new URL(url);
  const server = createServer((incoming, response) => {
    const target = incoming.url ?? '';
    if (!target.startsWith(`${PREFIX}/`)) return response.writeHead(404).end();
    const { method, headers } = incoming;
    const path = target.slice(PREFIX.length);
    const outgoing = request({ hostname, port, path, method, headers }, answer => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    outgoing.on('error', () => response.destroy());
    response.on('close', () => outgoing.destroy());
    return incoming.pipe(outgoing);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${PREFIX}/`;
}

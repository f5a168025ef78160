import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Metrics } from '../../metrics.ts';
import { encodeBody } from '../access/content-coding.ts';

export const METRICS_PATH = '/metrics';

/** What is shown at `/metrics`. */
export type MetricsPage = Pick<Metrics, 'render' | 'contentType'>;

/** A server for metrics alone. */
export interface MetricsServer {
  url: string;
  close(): Promise<void>;
}

/** Serves metrics on a port of their own, which need not be reachable for callers. */
export async function startMetricsServer(
  host: string,
  port: number,
  metrics: MetricsPage,
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    if (request.url?.split('?', 1)[0] === METRICS_PATH)
      return void sendMetrics(request, response, metrics);
    return response.writeHead(404).end();
  });
  server.listen(port, host);
  await once(server, 'listening');
  const { port: boundPort } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${boundPort}${METRICS_PATH}`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Answers with the metrics as they are now. */
export async function sendMetrics(
  { headers: { 'accept-encoding': accepted = '' } }: IncomingMessage,
  response: ServerResponse,
  page: MetricsPage,
): Promise<void> {
  const { body, headers } = await encodeBody(await page.render(), accepted);
  response.writeHead(200, { 'content-type': page.contentType, ...headers }).end(body);
}

import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { buffer } from 'node:stream/consumers';

export interface RawResponse {
  status: number | undefined;
  headers: IncomingMessage['headers'];
  /** As it was sent. */
  body: Buffer;
}

export interface RawRequest {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

/**
 * Sends a request without the headers that `fetch` adds; the body of the response is not decoded.
 */
export async function sendRequest(
  url: string,
  { method = 'GET', headers = {}, body }: RawRequest,
): Promise<RawResponse> {
  const outgoing = request(url, { method, headers }).end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  return { status: incoming.statusCode, headers: incoming.headers, body: await buffer(incoming) };
}

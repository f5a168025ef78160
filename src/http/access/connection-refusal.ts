import { STATUS_CODES, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ErrorCode } from '../../errors.ts';
import { lingerAndClose } from './lingering-close.ts';

/** Why a request is not served. */
export interface ConnectionRefusal {
  status: number;
  code: ErrorCode;
  headers: Record<string, string>;
  body: string;
}

const RETRY_AFTER_SECONDS = 5;

/** A refusal with a GraphQL error as its body, after which the connection ends. */
export function refusalOf(status: number, code: ErrorCode, message: string): ConnectionRefusal {
  const isTemporary = code === 'RATE_LIMITED';
  const extensions = isTemporary ? { code, retryAfterSeconds: RETRY_AFTER_SECONDS } : { code };
  return {
    status,
    code,
    headers: {
      'content-type': 'application/json',
      connection: 'close',
      ...(isTemporary ? { 'retry-after': String(RETRY_AFTER_SECONDS) } : {}),
    },
    body: JSON.stringify({ errors: [{ message, extensions }] }),
  };
}

/** Writes a refusal, and ends the connection after it. */
export function refuse(response: ServerResponse, { status, headers, body }: ConnectionRefusal) {
  const { socket } = response;
  // What Node calls after an answer with `connection: close`.
  if (socket) socket.destroySoon = () => lingerAndClose(socket);
  response.writeHead(status, headers).end(body);
}

/** The same for a connection that Node gives no response for. */
export function refuseRaw(socket: Duplex, refusal: ConnectionRefusal): void {
  // The client may have left.
  socket.on('error', () => {});
  socket.write(toText(refusal));
  lingerAndClose(socket);
}

function toText({ status, headers, body }: ConnectionRefusal): string {
  const lines = Object.entries({ ...headers, 'content-length': String(Buffer.byteLength(body)) });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head}\r\n${body}`;
}

import { once } from 'node:events';
import { WebSocket } from 'ws';

/** Every way to send an operation. */
export const TRANSPORTS = [
  'POST',
  'GET',
  'SSE',
  'stream',
  'multipart',
  'WebSocket',
  'callback',
] as const;
export type Transport = (typeof TRANSPORTS)[number];

/**
 * What came back: an HTTP status or a close code, null for an error message over WebSocket; and
 * every byte of it.
 */
export interface Answer {
  status: number | null;
  text: string;
  /** The codes of the errors. */
  codes: string[];
}

export type Send = (url: string, body: unknown, authorization?: string) => Promise<Answer>;

/** Sends a body, whatever it is, in the manner of a transport, and reads the first answer. */
export const SEND: Record<Transport, Send> = {
  POST: (url, body, authorization) => post(url, body, 'application/json', authorization),
  GET: async (url, body, authorization) => {
    const target = new URL(url);
    for (const [name, value] of Object.entries(body as object))
      target.searchParams.set(name, typeof value === 'string' ? value : JSON.stringify(value));
    return read(
      await fetch(target, {
        headers: {
          accept: 'application/json',
          // A page of another origin could not send it without a preflight.
          'x-requested-with': 'test',
          ...toHeaders(authorization),
        },
      }),
    );
  },
  SSE: (url, body, authorization) => post(url, body, 'text/event-stream', authorization),
  multipart: (url, body, authorization) =>
    post(url, body, 'multipart/mixed;subscriptionSpec=1.0', authorization),
  callback: (url, body, authorization) =>
    post(
      url,
      Array.isArray(body)
        ? body
        : {
            ...(body as object),
            extensions: {
              ...(body as { extensions?: object }).extensions,
              subscription: {
                callbackUrl: 'http://127.0.0.1:1/callback',
                subscriptionId: 's',
                verifier: 'v',
              },
            },
          },
      'application/json;callbackSpec=1.0, application/json',
      authorization,
    ),
  stream: sendToStream,
  WebSocket: sendOverSocket,
};

async function sendToStream(url: string, body: unknown, authorization?: string): Promise<Answer> {
  const at = `${url}/stream`;
  const reserved = await fetch(at, { method: 'PUT', headers: toHeaders(authorization) });
  if (reserved.status !== 201) return read(reserved);
  const token = await reserved.text();
  const operation = Array.isArray(body)
    ? body
    : {
        ...(body as object),
        extensions: { ...(body as { extensions?: object }).extensions, operationId: '1' },
      };
  const posted = await fetch(at, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-graphql-event-stream-token': token,
      ...toHeaders(authorization),
    },
    body: JSON.stringify(operation),
  });
  if (posted.status !== 202) return read(posted);
  const stream = await fetch(`${at}?token=${token}`, {
    headers: { accept: 'text/event-stream', ...toHeaders(authorization) },
  });
  return read(stream);
}

async function sendOverSocket(url: string, body: unknown, authorization?: string): Promise<Answer> {
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
  socket.on('error', () => {});
  try {
    await once(socket, 'open');
    socket.send(
      JSON.stringify({ type: 'connection_init', payload: authorization ? { authorization } : {} }),
    );
    await once(socket, 'message');
    socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: body }));
    return await new Promise<Answer>(resolve => {
      socket.on('message', (data: Buffer) => {
        const { type } = JSON.parse(data.toString()) as { type: string };
        if (type === 'next' || type === 'error') resolve(toAnswer(null, data.toString()));
      });
      socket.on('close', (code, reason) => resolve(toAnswer(code, String(reason))));
    });
  } finally {
    socket.terminate();
  }
}

async function post(
  url: string,
  body: unknown,
  accept: string,
  authorization?: string,
): Promise<Answer> {
  return read(
    await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept, ...toHeaders(authorization) },
      body: JSON.stringify(body),
    }),
  );
}

/** Up to the first result: a stream may go on for ever. */
async function read(response: Response): Promise<Answer> {
  let text = '';
  const chunks = response.body?.pipeThrough(new TextDecoderStream()) ?? [];
  for await (const chunk of chunks as AsyncIterable<string>) {
    text += chunk;
    if (text.includes('event: next') && text.trimEnd().endsWith('}')) break;
  }
  return toAnswer(response.status, text);
}

function toAnswer(status: number | null, text: string): Answer {
  return {
    status,
    text,
    codes: [...text.matchAll(/"code":"(\w+)"/g)].map(([, code = '']) => code),
  };
}

function toHeaders(authorization?: string): Record<string, string> {
  return authorization === undefined ? {} : { authorization };
}

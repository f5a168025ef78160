import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { startGateway } from '../support/start.ts';

const QUERY = JSON.stringify({ query: '{ __typename }' });

/** Sends a POST with exactly these headers, which may include Host. */
function post(url: string, headers: Record<string, string>) {
  return new Promise<{ status: number; body: any }>((resolve, reject) => {
    const sent = request(url, { method: 'POST', headers }, response => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }),
      );
    });
    sent.on('error', reject);
    sent.end(QUERY);
  });
}

/** The response to a socket: acknowledged, or its close code. */
function open(url: string, headers: Record<string, string>): Promise<string | number> {
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws', { headers });
  return new Promise(resolve => {
    socket.on('open', () => socket.send('{"type":"connection_init"}'));
    socket.on('message', (data: Buffer) => {
      resolve(JSON.parse(data.toString()).type);
      socket.close();
    });
    socket.on('close', resolve);
  });
}

test('a page of another origin cannot open a socket, unless its origin is listed', async t => {
  const { url } = await startGateway(t, { env: { CORS_ORIGINS: 'https://app.example.com' } });
  assert.equal(await open(url, {}), 'connection_ack');
  assert.equal(await open(url, { origin: new URL(url).origin }), 'connection_ack');
  assert.equal(await open(url, { origin: 'https://app.example.com' }), 'connection_ack');
  for (const origin of ['https://evil.example.com', 'null', 'http://127.0.0.1:1', 'nonsense'])
    assert.equal(await open(url, { origin }), 4403, origin);
});

test('without authentication, only host names of this machine are accepted', async t => {
  const { url } = await startGateway(t);
  const json = { 'content-type': 'application/json' };
  const { port } = new URL(url);
  for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`, 'task.localhost'])
    assert.deepEqual((await post(url, { ...json, host })).body, { data: { __typename: 'Query' } });
  for (const host of ['evil.example.com', `127.0.0.1.evil.example.com:${port}`, 'a b%%%']) {
    const { status, body } = await post(url, { ...json, host });
    assert.deepEqual([status, body.errors[0].extensions.code], [403, 'FORBIDDEN'], host);
  }
  assert.equal(await open(url, { host: 'evil.example.com' }), 4403);

  const strict = await startGateway(t, { env: { AUTH_MODE: 'passthrough' } });
  assert.equal((await post(strict.url, { ...json, host: 'gateway.example.com' })).status, 200);
});

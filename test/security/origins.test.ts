import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { ConfigError, readConfig } from '../../src/config.ts';
import { startGateway } from '../support/start.ts';

const LISTED =
  'https://app.example.com, https://*.example.org, capacitor://localhost, tauri://localhost, http://[::1]:3000, https://*.apps.example.net:8443';

const ACCEPTED = [
  'https://app.example.com',
  'https://app.example.com:443',
  'HTTPS://APP.EXAMPLE.COM',
  'https://a.example.org',
  'https://a.b.example.org',
  'capacitor://localhost',
  'tauri://localhost',
  'http://[::1]:3000',
  'http://[0:0:0:0:0:0:0:1]:3000',
  'https://x.apps.example.net:8443',
];
const REFUSED = [
  'null',
  'https://example.org',
  'https://evilexample.org',
  'https://a.example.org.evil.example',
  'https://a.example.org:8443',
  'http://a.example.org',
  'http://app.example.com',
  'https://app.example.com:444',
  'https://app.example.com.evil.example',
  'https://app.example.com@evil.example',
  'https://app.example.com/',
  'https://app.example.com#.example.org',
  'https://evil.example?.example.org',
  'capacitor://evil',
  'ionic://localhost',
  'http://[::1]',
  'http://localhost:3000',
  'https://apps.example.net:8443',
  'file://',
  'nonsense',
];

interface Heard {
  status: number;
  allowed: string | undefined;
  credentials: string | undefined;
}

/** With exactly these headers, which fetch would not send. */
function send(url: string, method: string, headers: Record<string, string>): Promise<Heard> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers }, response => {
      response.resume();
      resolve({
        status: response.statusCode ?? 0,
        allowed: response.headers['access-control-allow-origin'],
        credentials: response.headers['access-control-allow-credentials'],
      });
    });
    sent.on('error', reject);
    sent.end(method === 'POST' ? '{"query":"{ __typename }"}' : undefined);
  });
}

/** `connection_ack`, or the close code. */
function open(url: string, headers: Record<string, string>): Promise<string | number> {
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws', { headers });
  return new Promise(resolve => {
    socket.on('error', () => {});
    socket.on('open', () => socket.send('{"type":"connection_init"}'));
    socket.on('message', (data: Buffer) => {
      resolve((JSON.parse(data.toString()) as { type: string }).type);
      socket.close();
    });
    socket.on('close', resolve);
  });
}

test('pages of listed origins, patterns and apps may call over HTTP and WebSocket', async t => {
  const { url } = await startGateway(t, { env: { CORS_ORIGINS: LISTED } });
  for (const origin of ACCEPTED) {
    const json = { origin, 'content-type': 'application/json' };
    const preflight = await send(url, 'OPTIONS', {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization, content-type',
    });
    for (const heard of [
      preflight,
      await send(url, 'POST', json),
      await send(`${url}/stream`, 'PUT', json),
    ])
      assert.deepEqual([heard.allowed, heard.credentials], [origin, 'true'], origin);
    assert.equal(await open(url, { origin }), 'connection_ack', origin);
  }
});

test('pages of other origins hear no CORS header and open no WebSocket, whatever their origin resembles', async t => {
  const { url } = await startGateway(t, { env: { CORS_ORIGINS: LISTED } });
  for (const origin of REFUSED) {
    const json = { origin, 'content-type': 'application/json' };
    for (const heard of [
      await send(url, 'OPTIONS', { origin, 'access-control-request-method': 'POST' }),
      await send(url, 'POST', json),
      await send(`${url}/stream`, 'PUT', json),
    ])
      assert.deepEqual([heard.allowed, heard.credentials], [undefined, undefined], origin);
    assert.equal(await open(url, { origin }), 4403, origin);
  }
});

test('a page of the gateway itself opens a WebSocket, its own port written or not', async t => {
  const { url } = await startGateway(t, { env: { AUTH_MODE: 'passthrough' } });
  for (const [host, origin, heard] of [
    ['gateway.example.com', 'https://gateway.example.com', 'connection_ack'],
    ['gateway.example.com:443', 'https://gateway.example.com', 'connection_ack'],
    ['gateway.example.com:80', 'http://gateway.example.com', 'connection_ack'],
    ['[2001:db8::1]:8080', 'http://[2001:db8::1]:8080', 'connection_ack'],
    ['[2001:DB8:0::1]:8080', 'http://[2001:db8::1]:8080', 'connection_ack'],
    ['gateway.example.com:444', 'https://gateway.example.com', 4403],
    ['gateway.example.com', 'https://gateway.example.com.evil.example', 4403],
    ['gateway.example.com', 'null', 4403],
    // A file has no host, and a file URL drops the name of this machine.
    ['localhost', 'file://', 4403],
    ['localhost', 'file://localhost', 4403],
  ] as const)
    assert.equal(await open(url, { host, origin }), heard, `${origin} at ${host}`);
});

for (const origins of [
  '*',
  'https://*',
  'https://*.com',
  'https://*.',
  'https://app.*.example.com',
  'https://*example.com',
  'null',
  'app.example.com',
  'https://app.example.com/',
  'https://app.example.com/path',
  'https://user@app.example.com',
  'https://app.example.com?x',
])
  test(`CORS_ORIGINS=${origins} stops the start`, () => {
    assert.throws(
      () => readConfig({ CORS_ORIGINS: origins }),
      (error: unknown) =>
        error instanceof ConfigError && error.message.startsWith('CORS_ORIGINS: '),
    );
  });

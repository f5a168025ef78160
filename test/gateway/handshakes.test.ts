import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { openConnection } from '../support/raw-connection.ts';
import { startGateway } from '../support/start.ts';

const BODY = '{"query":"{ __typename }"}';
const HOST = 'Host: localhost\r\n';
const JSON_BODY = `Content-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n`;
const WEBSOCKET = `${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n`;
const VERSION = 'Sec-WebSocket-Version: 13\r\n';
const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const H2C = `${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n`;

const REFUSED: [what: string, request: string, status: number][] = [
  [
    'an expectation that is not met',
    `POST /graphql HTTP/1.1\r\n${HOST}Expect: more\r\n${JSON_BODY}${BODY}`,
    417,
  ],
  ['no Host', `POST /graphql HTTP/1.1\r\n${JSON_BODY}${BODY}`, 400],
  ['a tunnel', `CONNECT localhost:80 HTTP/1.1\r\n${HOST}\r\n`, 405],
  ['a WebSocket at another path', `GET /nope HTTP/1.1\r\n${WEBSOCKET}${VERSION}${KEY}\r\n`, 404],
  ['a WebSocket without a key', `GET /graphql HTTP/1.1\r\n${WEBSOCKET}${VERSION}\r\n`, 400],
  [
    'a WebSocket of another version',
    `GET /graphql HTTP/1.1\r\n${WEBSOCKET}Sec-WebSocket-Version: 7\r\n${KEY}\r\n`,
    400,
  ],
  [
    'a WebSocket that is posted',
    `POST /graphql HTTP/1.1\r\n${WEBSOCKET}${VERSION}${KEY}Content-Length: 0\r\n\r\n`,
    400,
  ],
  ['HTTP/2 without TLS', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  [
    'two lengths',
    `POST /graphql HTTP/1.1\r\n${HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
];

test('what is refused before it is a request of GraphQL has a code too', async t => {
  const { url } = await startGateway(t);
  for (const [what, request, status] of REFUSED) {
    const connection = await openConnection(t, url);
    connection.write(request);
    const answer = await connection.answer();
    assert.equal(answer.status, status, what);
    assert.match(answer.headers['content-type'] ?? '', /^application\/json/, what);
    const [{ extensions }] = JSON.parse(answer.body).errors;
    assert.equal(extensions.code, status === 404 ? 'NOT_FOUND' : 'BAD_USER_INPUT', what);
  }
});

test('an offer to upgrade to HTTP/2 is passed over, for request after request of a connection', async t => {
  const warnings: Error[] = [];
  const keep = (warning: Error) => void warnings.push(warning);
  process.on('warning', keep);
  t.after(() => process.off('warning', keep));
  const { url } = await startGateway(t, { env: { MAX_CONNECTIONS: '1' } });
  const connection = await openConnection(t, url);
  for (let count = 0; count < 30; count++) {
    connection.write(`POST /graphql HTTP/1.1\r\n${H2C}${JSON_BODY}`);
    connection.write(BODY);
    const { status, body } = await connection.answer();
    assert.deepEqual([status, body], [200, '{"data":{"__typename":"Query"}}']);
  }
  connection.write(
    `GET /health/live HTTP/1.1\r\n${HOST}Connection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n`,
  );
  const { headers } = await connection.answer();
  assert.equal(headers['connection'], 'close');
  connection.socket.end();
  await once(connection.socket, 'close');
  assert.deepEqual(warnings, []);
  // It was one connection, and there is room for the next.
  const next = await openConnection(t, url);
  next.write(`GET /health/live HTTP/1.1\r\n${HOST}\r\n`);
  assert.equal((await next.answer()).status, 200);
});

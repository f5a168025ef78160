import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { postGraphQL, startGateway } from '../support/start.ts';

const BODY = JSON.stringify({ query: '{ taskStatuses { totalCount } }' });
const JSON_BODY = `content-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;
const COUNTED = /"totalCount":1\b/;

/** Sends bytes over one connection. Resolves to what was received when the server has ended it. */
async function send(t: TestContext, url: string, bytes: string): Promise<string> {
  const { port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1').setEncoding('latin1');
  t.after(() => socket.destroy());
  let received = '';
  socket.on('data', chunk => (received += chunk));
  socket.write(bytes);
  await once(socket, 'end');
  return received;
}

const ACCEPTED: [accept: string, type: string][] = [
  // The header of urql.
  [
    'application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed',
    'application/graphql-response+json; charset=utf-8',
  ],
  ['application/json, text/event-stream', 'application/json; charset=utf-8'],
  ['*/*, text/event-stream', 'application/json; charset=utf-8'],
  ['text/event-stream, application/json', 'text/event-stream'],
  ['text/event-stream', 'text/event-stream'],
];

for (const [accept, type] of ACCEPTED)
  test(`a query that accepts ${accept} is answered with what it lists first (#14)`, async t => {
    const { url } = await startGateway(t);
    const headers = { accept, 'content-type': 'application/json' };
    const response = await fetch(url, { method: 'POST', headers, body: BODY });
    assert.match(await response.text(), /"totalCount":0\b/);
    assert.equal(response.headers.get('content-type'), type);
  });

const OFFER = 'upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n';
const TARGETS = ['/graphql', 'http://tasks.example/graphql', 'https://localhost:8443/graphql?'];
const REQUESTS: [name: string, request: string][] = [
  [
    'an offer of h2c',
    `POST /graphql HTTP/1.1\r\nhost: localhost\r\n${OFFER}connection: upgrade, http2-settings, close\r\n${JSON_BODY}`,
  ],
  ...TARGETS.map(target => [
    `the target ${target}`,
    `POST ${target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n${JSON_BODY}`,
  ]),
  ['HTTP/1.0', `POST /graphql HTTP/1.0\r\nhost: localhost\r\n${JSON_BODY}`],
  ['HTTP/1.0 and no Host', `POST /graphql HTTP/1.0\r\n${JSON_BODY}`],
] as [string, string][];

for (const [name, request] of REQUESTS)
  test(`a request with ${name} is served`, async t => {
    const { tenant, url } = await startGateway(t);
    tenant.addTask();
    const answer = await send(t, url, request);
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.match(answer, COUNTED);
  });

test('requests after an offer of h2c are served over the same connection', async t => {
  const { tenant, url } = await startGateway(t);
  tenant.addTask();
  const post = `POST /graphql HTTP/1.1\r\nhost: localhost\r\n`;
  const answer = await send(
    t,
    url,
    `${post}${OFFER}connection: upgrade, http2-settings\r\n${JSON_BODY}${post}connection: close\r\n${JSON_BODY}`,
  );
  assert.equal(answer.match(/HTTP\/1\.1 200 /g)?.length, 2);
});

for (const host of ['::1', '[::1]'])
  test(`HOST=${host} is served, and named in brackets`, async t => {
    const { tenant, url } = await startGateway(t, { env: { HOST: host } });
    tenant.addTask();
    assert.match(url, /^http:\/\/\[::1\]:\d+\/graphql$/);
    const { data } = await postGraphQL(url, '{ taskStatuses { totalCount } }');
    assert.equal(data.taskStatuses.totalCount, 1);
  });

test('idle connections are kept longer than load balancers keep theirs', async t => {
  const { url } = await startGateway(t);
  const { headers } = await fetch(new URL('/health/live', url));
  assert.equal(headers.get('keep-alive'), 'timeout=65');
});

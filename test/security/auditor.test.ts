import assert from 'node:assert/strict';
import { request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { fetchToken, startGateway } from '../support/start.ts';
import { type Answer, SEND } from '../support/transports.ts';

/*
 * The checks of graphql-cop, against the settings that hold where HOST is not loopback. Each is
 * tried over HTTP and WebSocket, where a WebSocket can carry it.
 */

const PRODUCTION = {
  AUTH_MODE: 'passthrough',
  GRAPHIQL: 'false',
  BOARD: 'false',
  INTROSPECTION: 'false',
  SUGGESTIONS: 'false',
};

async function start(t: TestContext) {
  const gateway = await startGateway(t, { env: PRODUCTION });
  const authorization = `Bearer ${await fetchToken(gateway.sandbox)}`;
  const send = {
    HTTP: (body: unknown) => SEND.POST(gateway.url, body, authorization),
    WebSocket: (body: unknown) => SEND.WebSocket(gateway.url, body, authorization),
  };
  return { ...gateway, authorization, send };
}

function many(count: number, one: (n: number) => string): string {
  return Array.from({ length: count }, (_, n) => one(n)).join(' ');
}

/**
 * What it may not show, whatever was asked: a stack, a file, the name of a field that was not asked
 * for.
 */
function assertShowsNothing({ text }: Answer): void {
  assert.doesNotMatch(text, /Did you mean|stacktrace|node_modules|\.ts:|\.js:|"trace|"exception/i);
}

const OVER_BOTH: [name: string, body: object][] = [
  ['field suggestions', { query: '{ taskStatu { id } __typenam }' }],
  ['suggestions of arguments', { query: '{ taskStatus(ids: "a") { id } }' }],
  ['suggestions of types', { query: 'query ($a: TaskStatusFilte) { __typename }' }],
  [
    'suggestions of enum values',
    { query: '{ taskStatuses(orderBy: { direction: AS }) { nodes { id } } }' },
  ],
  ['introspection of the schema', { query: '{ __schema { types { name } } }' }],
  ['introspection of a type', { query: '{ __type(name: "Query") { name } }' }],
  [
    'introspection in a fragment',
    { query: '{ ...F } fragment F on Query { __schema { types { name } } }' },
  ],
  ['alias overloading', { query: `{ ${many(501, n => `a${n}: __typename`)} }` }],
  ['directive overloading', { query: `{ __typename ${many(51, () => '@aa')} }` }],
  ['directives repeated', { query: `{ __typename ${many(10, () => '@include(if: true)')} }` }],
  [
    'circular introspection',
    {
      query: `{ __schema { types { fields { type ${many(5, () => '{ fields { type')} { name } ${many(13, () => '}')} }`,
    },
  ],
  ['field duplication', { query: `{ taskStatus(id: "a") { ${many(500, () => 'id')} } }` }],
  ['circular fragments', { query: '{ ...A } fragment A on Query { ...A }' }],
  ['an unhandled error', { query: 'qwerty' }],
  ['no query', { query: null }],
  ['variables of the wrong type', { query: '{ __typename }', variables: 'x' }],
  ['an operation that is not there', { query: 'query A { __typename }', operationName: 'B' }],
];

for (const [name, body] of OVER_BOTH)
  test(`the auditor finds nothing: ${name}`, async t => {
    const { send, requests } = await start(t);
    for (const [transport, ask] of Object.entries(send)) {
      const answer = await ask(body);
      assertShowsNothing(answer);
      // The protocol of WebSocket closes it for what is no message of it.
      const found = answer.status === 4400 ? ['BAD_USER_INPUT'] : [...new Set(answer.codes)];
      assert.deepEqual(found, ['BAD_USER_INPUT'], `${transport}: ${answer.text.slice(0, 200)}`);
      assert.doesNotMatch(answer.text, /"data":\{/);
    }
    assert.deepEqual(requests(), []);
  });

test('the auditor finds nothing: array batching', async t => {
  const { send } = await start(t);
  const batch = Array.from({ length: 10 }, () => ({ query: '{ __typename }' }));
  assert.deepEqual((await send.HTTP(batch)).codes, ['BAD_USER_INPUT']);
  assert.equal((await send.WebSocket(batch)).status, 4400);
});

test('the auditor finds nothing: mutations by GET', async t => {
  const { url, authorization, requests } = await start(t);
  const query = 'mutation { markTaskFinished: __typename }';
  const answer = await SEND.GET(url, { query }, authorization);
  assert.deepEqual([answer.status, answer.codes], [405, ['BAD_USER_INPUT']]);
  assert.deepEqual(requests(), []);
});

for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data', ''])
  test(`the auditor finds nothing: a POST that a page of another origin may send (${type || 'no type'})`, async t => {
    const { url, authorization, requests } = await start(t);
    for (const body of ['query=%7B__typename%7D', '{"query":"{__typename}"}']) {
      const response = await fetch(url, {
        method: 'POST',
        headers: { authorization, 'content-type': type },
        body,
      });
      assert.equal(response.status, 415);
      assert.match(await response.text(), /"code":"BAD_USER_INPUT"/);
    }
    assert.deepEqual(requests(), []);
  });

test('the auditor finds nothing: a GET of another origin carries no credential, and its page reads no answer', async t => {
  const { url, authorization, requests } = await start(t);
  const target = `${url}?query=%7BtaskStatuses%7Bnodes%7Bid%7D%7D%7D`;
  // A cookie is all that a browser adds by itself.
  const foreign = { origin: 'https://evil.example.com', cookie: 'session=1' };
  const refused = await fetch(target, { headers: foreign });
  assert.equal(refused.status, 401);
  assert.equal(refused.headers.get('access-control-allow-origin'), null);
  assert.deepEqual(requests(), []);
  const answered = await fetch(target, { headers: { ...foreign, authorization } });
  assert.equal(answered.headers.get('access-control-allow-origin'), null);
});

test('the auditor finds nothing: trace and debug modes', async t => {
  const { url, authorization } = await start(t);
  const askingForTraces: Record<string, string>[] = [
    { 'x-apollo-tracing': '1' },
    { 'apollo-federation-include-trace': 'ftv1' },
    { 'x-debug': 'true', 'x-trace': 'true' },
  ];
  for (const headers of askingForTraces) {
    const response = await fetch(`${url}?debug=1`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json', ...headers },
      body: '{"query":"{ __typename }","extensions":{"tracing":true}}',
    });
    assert.equal(await response.text(), '{"data":{"__typename":"Query"}}');
    for (const name of ['server', 'x-powered-by', 'x-runtime'])
      assert.equal(response.headers.get(name), null);
  }
  for (const method of ['TRACE', 'TRACK', 'DEBUG']) {
    const status = await new Promise(resolve =>
      request(url, { method }, response => resolve(response.resume().statusCode))
        .on('error', () => resolve('closed'))
        .end(),
    );
    assert.ok(
      status === 405 || status === 400 || status === 'closed',
      `${method}: ${String(status)}`,
    );
  }
});

test('the auditor finds nothing: GraphiQL and other consoles', async t => {
  const { url } = await start(t);
  for (const path of [
    '/graphql',
    '/graphiql',
    '/playground',
    '/console',
    '/altair',
    '/',
    '/graphql/stream',
    '/.well-known/apollo/server-health',
  ]) {
    const response = await fetch(new URL(path, url), {
      headers: { accept: 'text/html' },
      redirect: 'manual',
    });
    assert.doesNotMatch(await response.text(), /graphiql|playground|<script/i, path);
  }
});

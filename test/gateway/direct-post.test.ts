import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { request as send } from 'node:http';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { mediaTypeFor } from '../../src/http/transports/single-results.ts';
import { startGateway } from '../support/start.ts';

// Most POST requests are answered without Yoga's Fetch API layer. A request that names a
// Content-Encoding is answered through it: so each request here is sent twice, and the answers must
// be the same.

const TASK = 'query Task($id: ID!) { taskStatus(id: $id) { __typename id state } }';

interface Exchange {
  body: string | Buffer;
  headers?: Record<string, string>;
}

const BODIES: Record<string, string | Buffer> = {
  'a task': JSON.stringify({ query: TASK, variables: { id: 'x' } }),
  'two operations, one of them named': JSON.stringify({
    query: `${TASK} query Other { taskStatuses { totalCount } }`,
    operationName: 'Other',
  }),
  'two operations, none of them named': JSON.stringify({
    query: '{ __typename } query B { __typename }',
  }),
  'an unknown operation': JSON.stringify({ query: '{ __typename }', operationName: 'None' }),
  'a syntax error': JSON.stringify({ query: '{ taskStatus(' }),
  'an unknown field': JSON.stringify({ query: '{ taskStatuses { unknown } }' }),
  'a missing variable': JSON.stringify({ query: TASK }),
  'a wrong variable': JSON.stringify({ query: TASK, variables: { id: [] } }),
  'an error of a field': JSON.stringify({ query: '{ taskStatuses(first: 251) { totalCount } }' }),
  'an error of a nullable field': JSON.stringify({ query: '{ taskStatus(id: "") { id } }' }),
  'too many tokens': JSON.stringify({ query: `{ ${'__typename '.repeat(20_000)} }` }),
  'too deep a cost': JSON.stringify({
    query: `{ ${Array.from({ length: 300 }, (_, n) => `t${n}: taskStatuses(first: 250) { nodes { id } }`).join(' ')} }`,
  }),
  introspection: JSON.stringify({ query: '{ __schema { queryType { name } } }' }),
  'a mutation that is refused': JSON.stringify({
    query:
      'mutation { updateTaskStatus(input: { id: "x", completionStatus: UNKNOWN }) { taskStatus { id } } }',
  }),
  'a persisted document that is not known': JSON.stringify({
    extensions: { persistedQuery: { version: 1, sha256Hash: 'a'.repeat(64) } },
  }),
  'a document with its hash': JSON.stringify({
    query: '{ __typename }',
    extensions: {
      persistedQuery: {
        version: 1,
        sha256Hash: createHash('sha256').update('{ __typename }').digest('hex'),
      },
    },
  }),
  'a hash that is not the document’s': JSON.stringify({
    query: '{ __typename }',
    extensions: { persistedQuery: { version: 1, sha256Hash: 'b'.repeat(64) } },
  }),
  'an empty document': JSON.stringify({ query: '' }),
  'no document': JSON.stringify({}),
  'a batch': JSON.stringify([{ query: '{ __typename }' }]),
  'variables that are a list': JSON.stringify({ query: '{ __typename }', variables: [] }),
  'an unknown member': JSON.stringify({ query: '{ __typename }', unknown: 1 }),
  nothing: '',
  'no JSON': '{',
  'no UTF-8': Buffer.from([0x22, 0xff, 0x22]),
  'more than the limit': JSON.stringify({
    query: '{ __typename }',
    variables: { a: 'a'.repeat(300_000) },
  }),
  'the word subscription': JSON.stringify({ query: '# no subscription\n{ __typename }' }),
};

const ACCEPTS = [
  undefined,
  '*/*',
  'application/json',
  'application/graphql-response+json',
  'application/graphql-response+json, application/json;q=0.9',
  'application/json, application/graphql-response+json',
  'APPLICATION/*;q=0.5 , */*',
  'application/json; charset=latin1',
  'text/event-stream',
  'text/html',
];

test('a POST is answered alike with and without the Fetch API layer, whatever it holds and accepts', async t => {
  const post = await setUp(t);
  for (const [name, body] of Object.entries(BODIES))
    for (const accept of ACCEPTS)
      await t.test(`${name}, Accept: ${accept}`, () =>
        compare(post, { body, headers: accept === undefined ? {} : { accept } }),
      );
});

test('so it is for callers without a token, and for other types of bodies', async t => {
  const post = await setUp(t, { AUTH_MODE: 'passthrough' });
  const body = BODIES['a task']!;
  const headers: Record<string, string>[] = [
    {},
    { authorization: 'Basic dXNlcjpwYXNz' },
    { authorization: 'Bearer unknown' },
    { 'content-type': 'text/plain' },
    { 'content-type': 'application/json; charset=utf-16' },
    { 'content-type': 'application/json;charset="UTF-8"' },
    { 'content-type': '' },
    { origin: 'https://elsewhere.example' },
  ];
  for (const some of headers) {
    // Upstream is asked about a token once; its refusal is then remembered.
    await post({ body, headers: some });
    await compare(post, { body, headers: some });
  }
  await compare(post, { body: BODIES['introspection']! });
});

test('so it is for any Accept header', async t => {
  const post = await setUp(t);
  const types = [
    '*/*',
    'application/*',
    'application/json',
    'application/graphql-response+json',
    'text/*',
    'text/event-stream',
    'multipart/mixed',
    'image/png',
    '',
  ];
  const range = fc
    .tuple(
      fc.constantFrom(...types),
      fc.constantFrom(
        '',
        ';q=0',
        ';q=0.4',
        '; charset=utf-8',
        ';charset=x',
        ';subscriptionSpec=1.0',
      ),
    )
    .map(parts => parts.join(''));
  await fc.assert(
    fc.asyncProperty(fc.array(range, { maxLength: 4 }), async ranges => {
      await compare(post, {
        body: BODIES['an unknown field']!,
        headers: { accept: ranges.join(', ') },
      });
    }),
    { numRuns: 60 },
  );
});

test('a subscription is streamed to a client that accepts anything', async t => {
  const { tenant, url } = await startGateway(t);
  const id = tenant.addTask({ runMs: 1 });
  const query = `subscription { taskProgress(id: "${id}") { state } }`;
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query }),
  });
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  assert.match(await response.text(), /event: complete/);
});

test('a client that waits for one result is answered without the Fetch API layer; one that may take a stream is not', () => {
  assert.equal(mediaTypeFor(undefined), 'application/json');
  assert.equal(
    mediaTypeFor('application/graphql-response+json, */*;q=0.1'),
    'application/graphql-response+json',
  );
  assert.equal(mediaTypeFor('application/json, text/event-stream'), null);
});

type Post = (exchange: Exchange) => Promise<object>;

async function compare(post: Post, { body, headers = {} }: Exchange): Promise<void> {
  const direct = await post({ body, headers });
  const throughYoga = await post({ body, headers: { 'content-encoding': 'identity', ...headers } });
  assert.deepEqual(direct, throughYoga);
}

async function setUp(t: TestContext, env: Record<string, string> = {}): Promise<Post> {
  const { url } = await startGateway(t, { env });
  return ({ body, headers }) =>
    new Promise((resolve, reject) => {
      const request = send(url, {
        method: 'POST',
        agent: false,
        headers: { 'content-type': 'application/json', 'x-request-id': 'the-same', ...headers },
      });
      request.once('error', reject);
      request.once('response', async response => {
        const { date: _, ...others } = response.headers;
        resolve({ status: response.statusCode, headers: others, body: await text(response) });
      });
      request.end(body);
    });
}

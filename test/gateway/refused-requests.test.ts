import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib';
import { startGateway } from '../support/start.ts';

interface RefusedRequest {
  status: number;
  code?: string;
  search?: string;
  init?: RequestInit;
}

const TYPENAME = JSON.stringify({ query: '{ __typename }' });
const posted = (body: string | Buffer, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: body as BodyInit,
});
const encoded = (encoding: string, body: Buffer) => posted(body, { 'content-encoding': encoding });
const BOMB = Buffer.alloc(50_000_000, ' ');
const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;

/**
 * Requests over HTTP that are refused, with the status of the refusal; BAD_USER_INPUT where no code
 * is named.
 */
const REFUSED_REQUESTS: Record<string, RefusedRequest> = {
  'GET without a query': { status: 400 },
  'GET with variables that are no JSON': { status: 400, search: 'query={__typename}&variables={' },
  'GET with variables that are a list': { status: 400, search: 'query={__typename}&variables=[]' },
  'GET with extensions that are no JSON': {
    status: 400,
    search: 'query={__typename}&extensions={',
  },
  'GET with extensions that are a text': {
    status: 400,
    search: 'query={__typename}&extensions="x"',
  },
  'GET with variables nested too deep': {
    status: 400,
    search: `query={__typename}&variables={"x":${deep(500)}}`,
  },
  'GET of a mutation': {
    status: 405,
    search:
      'query=mutation{updateTaskStatus(input:{id:"x",completionStatus:ERROR}){taskStatus{id}}}',
  },
  PUT: { status: 405, init: { method: 'PUT' } },
  'an Accept of another type': { status: 406, init: posted(TYPENAME, { accept: 'text/html' }) },
  'an Accept that excludes all': { status: 406, init: posted(TYPENAME, { accept: '*/*;q=0' }) },
  'a subscription for a caller that takes JSON': {
    status: 406,
    init: posted(JSON.stringify({ query: 'subscription { taskStatusChanged { kind } }' }), {
      accept: 'application/json',
    }),
  },
  'a body of another type': {
    status: 415,
    init: posted(TYPENAME, { 'content-type': 'text/plain' }),
  },
  'a body in another charset': {
    status: 415,
    init: posted(TYPENAME, { 'content-type': 'application/json; charset=utf-16' }),
  },
  'a body that is encoded twice': {
    status: 415,
    init: encoded('gzip, gzip', gzipSync(gzipSync(TYPENAME))),
  },
  'a body of an unknown encoding': { status: 415, init: encoded('zstd', Buffer.from(TYPENAME)) },
  'a body that is not what its encoding says': {
    status: 400,
    init: encoded('gzip', Buffer.from(TYPENAME)),
  },
  'a body whose encoding breaks off': {
    status: 400,
    init: encoded('gzip', gzipSync(TYPENAME).subarray(0, 15)),
  },
  'a gzip bomb': { status: 413, init: encoded('gzip', gzipSync(BOMB)) },
  'a deflate bomb': { status: 413, init: encoded('deflate', deflateSync(BOMB)) },
  'a brotli bomb': {
    status: 413,
    init: encoded(
      'br',
      brotliCompressSync(BOMB, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
    ),
  },
  'an empty body': { status: 400, init: posted('') },
  'a body that is no UTF-8': { status: 400, init: posted(Buffer.from([0x7b, 0xff, 0x7d])) },
  'a batch': { status: 400, init: posted(`[${TYPENAME}]`) },
  'variables nested too deep': {
    status: 400,
    init: posted(`{"query":"{ __typename }","variables":{"x":${deep(100_000)}}}`),
  },
  'extensions nested too deep': {
    status: 400,
    init: posted(`{"query":"{ __typename }","extensions":{"x":${deep(100_000)}}}`),
  },
  'a document that is not stored': {
    status: 200,
    code: 'PERSISTED_QUERY_NOT_FOUND',
    init: posted(
      JSON.stringify({
        extensions: { persistedQuery: { version: 1, sha256Hash: '0'.repeat(64) } },
      }),
    ),
  },
  'an operation that is not in the document': {
    status: 400,
    init: posted(JSON.stringify({ query: 'query A { __typename }', operationName: 'B' })),
  },
};

test('http: every refusal has its status, one error, and a code', async t => {
  const { url, requests } = await startGateway(t);
  for (const [name, { status, code = 'BAD_USER_INPUT', search = '', init = {} }] of Object.entries(
    REFUSED_REQUESTS,
  )) {
    const accept = { accept: 'application/graphql-response+json' };
    const headers = { ...accept, ...(init.headers as Record<string, string> | undefined) };
    const response = await fetch(`${url}?${search}`, { ...init, headers });
    const { errors } = await response.json();
    assert.deepEqual(
      [response.status, errors.length, errors[0].extensions],
      [status, 1, { code }],
      name,
    );
  }
  assert.deepEqual(requests(), []);
});

for (const [encoding, body] of Object.entries({
  gzip: gzipSync(TYPENAME),
  deflate: deflateSync(TYPENAME),
  br: brotliCompressSync(TYPENAME),
}))
  test(`http: a body in ${encoding} is decoded`, async t => {
    const { url } = await startGateway(t);
    const response = await fetch(url, encoded(encoding, body));
    assert.deepEqual(await response.json(), { data: { __typename: 'Query' } });
  });

test('a refused callback that is answered as a stream shows no HTTP details', async t => {
  const { url } = await startGateway(t);
  const extensions = { subscription: { callbackUrl: 'http://evil.example/' } };
  const accept = 'text/event-stream, application/json;callbackSpec=1.0';
  const query = 'subscription { taskStatusChanged { kind } }';
  const response = await fetch(url, posted(JSON.stringify({ query, extensions }), { accept }));
  const [, event = ''] = /^data: (\{.*\})$/m.exec(await response.text()) ?? [];
  const [{ extensions: shown }] = JSON.parse(event).errors;
  assert.deepEqual(shown, { code: 'BAD_USER_INPUT' });
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client/core';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { fetchToken, startGateway } from '../support/start.ts';
import { SEND, TRANSPORTS } from '../support/transports.ts';

const DOCUMENT = 'query Type { __typename }';
const ANSWER = '{"data":{"__typename":"Query"}}';
const CALLBACKS = { SUBSCRIPTION_CALLBACK_HOSTS: '127.0.0.1' };
const hash = (text: string) => createHash('sha256').update(text).digest('hex');

/** Persisted by hash, as Apollo's and urql's links and exchanges write it. */
const byHash = (text: string, query?: string) => ({
  ...(query === undefined ? {} : { query }),
  extensions: { persistedQuery: { version: 1, sha256Hash: hash(text) } },
});

/** An Apollo client with its own link for persisted queries; `sent` holds what it sends. */
function startApollo(url: string, authorization?: string) {
  const sent: { query?: string; extensions?: { persistedQuery?: unknown } }[] = [];
  const client = new ApolloClient({
    cache: new InMemoryCache(),
    link: ApolloLink.from([
      new PersistedQueryLink({ sha256: hash }),
      new HttpLink({
        uri: url,
        ...(authorization && { headers: { authorization } }),
        fetch: (target, init) => {
          sent.push(JSON.parse(init?.body as string) as { query?: string });
          return fetch(target, init);
        },
      }),
    ]),
  });
  const ask = async () =>
    (await client.query({ query: gql(DOCUMENT), fetchPolicy: 'network-only' })).data;
  return { ask, sent };
}

test("Apollo's link sends a document once, and its hash from then on", async t => {
  const { url } = await startGateway(t);
  const { ask, sent } = startApollo(url);
  assert.deepEqual(await ask(), { __typename: 'Query' });
  assert.deepEqual(
    sent.map(({ query }) => query !== undefined),
    [false, true],
  );
  await ask();
  await startApollo(url).ask();
  assert.deepEqual(
    sent.map(({ query }) => query !== undefined),
    [false, true, false],
  );
});

test("where documents are not kept, Apollo's link falls back to sending them, and stops sending hashes", async t => {
  const { url } = await startGateway(t, { env: { AUTOMATIC_PERSISTED_QUERIES: 'false' } });
  const { ask, sent } = startApollo(url);
  assert.deepEqual(await ask(), { __typename: 'Query' });
  await ask();
  assert.deepEqual(
    sent.map(({ query, extensions }) => [
      query !== undefined,
      extensions?.persistedQuery !== undefined,
    ]),
    [
      [false, true],
      [true, false],
      [true, false],
    ],
  );
});

for (const transport of TRANSPORTS)
  test(`${transport}: a hash that is not known has the error that clients look for; with its document it is kept`, async t => {
    const { url } = await startGateway(t, { env: CALLBACKS });
    const send = SEND[transport];
    const unknown = await send(url, byHash(DOCUMENT));
    assert.deepEqual(unknown.codes, ['PERSISTED_QUERY_NOT_FOUND']);
    assert.match(unknown.text, /"message":"PersistedQueryNotFound"/);
    const wrong = await send(url, byHash('another', DOCUMENT));
    assert.deepEqual(wrong.codes, ['BAD_USER_INPUT']);
    for (const body of [byHash(DOCUMENT, DOCUMENT), byHash(DOCUMENT)])
      assert.match((await send(url, body)).text, /"data":\{"__typename":"Query"\}/);
  });

async function startWithManifest(t: TestContext, env: Record<string, string>) {
  const directory = mkdtempSync(join(tmpdir(), 'documents-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const manifest = join(directory, 'documents.json');
  writeFileSync(manifest, JSON.stringify({ [hash(DOCUMENT)]: DOCUMENT, short: DOCUMENT }));
  return startGateway(t, { env: { PERSISTED_DOCUMENTS: manifest, ...CALLBACKS, ...env } });
}

for (const transport of TRANSPORTS)
  test(`${transport}: with PERSISTED_DOCUMENTS_ONLY, documents of the manifest are executed by id, hash and text, and nothing else`, async t => {
    const { url } = await startWithManifest(t, { PERSISTED_DOCUMENTS_ONLY: 'true' });
    const send = SEND[transport];
    for (const body of [
      { documentId: 'short' },
      { documentId: `sha256:${hash(DOCUMENT)}` },
      byHash(DOCUMENT),
      { query: DOCUMENT },
    ])
      assert.match((await send(url, body)).text, /"data":\{"__typename":"Query"\}/);
    const other = '{ __typename }';
    for (const body of [
      { query: other },
      { query: `${DOCUMENT} ` },
      byHash(other, other),
      byHash(other),
      // The hash of a listed document does not let another text in.
      byHash(DOCUMENT, other),
      { documentId: 'short', query: other },
      { documentId: '__proto__' },
      { documentId: 'constructor' },
    ])
      assert.deepEqual((await send(url, body)).codes, ['FORBIDDEN'], JSON.stringify(body));
  });

test('what a token registers that upstream has not accepted is not kept, and pushes nothing out', async t => {
  const { url, sandbox } = await startGateway(t, { env: { AUTH_MODE: 'passthrough' } });
  const good = `Bearer ${await fetchToken(sandbox)}`;
  const list = '{ taskStatuses(first: 1) { nodes { id } } }';
  await SEND.POST(url, { query: list }, good);
  assert.equal((await SEND.POST(url, byHash(DOCUMENT, DOCUMENT), good)).text, ANSWER);
  // More than is kept in all.
  for (let count = 0; count < 40; count++) {
    const text = `{ __typename } # ${count} ${'x'.repeat(200_000)}`;
    await SEND.POST(url, byHash(text, text), 'Bearer forged');
  }
  assert.equal((await SEND.POST(url, byHash(DOCUMENT), good)).text, ANSWER);
});

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { getIntrospectionQuery } from 'graphql';
import { startGateway } from '../support/start.ts';
import { TRANSPORTS, subscribe } from '../support/subscribe.ts';

const repeat = (count: number, field: (place: number) => string) =>
  Array.from({ length: count }, (_, place) => field(place)).join(' ');

/** Documents that are refused as a whole, and the variable that their refusal names. */
const REFUSED_DOCUMENTS: Record<string, [query: string, variable: string]> = {
  'full introspection': [getIntrospectionQuery(), 'INTROSPECTION'],
  'introspection twice': [
    '{ a: __schema { types { name } } b: __type(name: "Query") { name fields { name } } }',
    'INTROSPECTION',
  ],
  'introspection in fragments': [
    `{ ...A ${repeat(20, place => `a${place}: __schema { ...B }`)} }
    fragment A on Query { __schema { ...B } } fragment B on __Schema { types { name } }`,
    'INTROSPECTION',
  ],
  'too many tokens': [`{ ${'taskStatus '.repeat(16_000)} }`, 'MAX_TOKENS'],
  'too many aliases': [`{ ${repeat(501, place => `a${place}: __typename`)} }`, 'MAX_ALIASES'],
  'too many root fields': [`{ ${repeat(501, place => `f${place}`)} }`, 'MAX_ROOT_FIELDS'],
  'too many directives': [`{ __typename ${'@skip(if: false) '.repeat(60)} }`, 'MAX_DIRECTIVES'],
  'too many repeated fields': [`{ ${'__typename '.repeat(60)} }`, 'the gateway'],
  'too many upstream requests': [
    `{ ${repeat(101, place => `a${place}: taskStatuses(filter: { launcher: { eq: "${place}" } }) { nodes { id } }`)} }`,
    'MAX_UPSTREAM_REQUESTS',
  ],
  'too high a cost': [
    `{ ${repeat(50, place => `a${place}: taskStatuses(first: 250) { nodes { id type created launcher state } }`)} }`,
    'MAX_COST',
  ],
  'too deep a selection': [
    `{ taskStatus(id: "x") { ${'target { source { latestTask { '.repeat(8)} id ${'} } } '.repeat(8)} } }`,
    'MAX_DEPTH',
  ],
  'brackets nested too deep': [`${'{ a '.repeat(1_000)}${'}'.repeat(1_000)}`, 'MAX_DEPTH'],
};

/** Posts an operation to a stream of its own; a refusal is answered there. */
async function postToStream(url: string, query: string): Promise<any> {
  const token = await (await fetch(`${url}/stream`, { method: 'PUT' })).text();
  const response = await fetch(`${url}/stream`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-graphql-event-stream-token': token },
    body: JSON.stringify({ query, extensions: { operationId: '1' } }),
  });
  if (response.status !== 202) return response.json();
  const stream = await fetch(`${url}/stream?token=${token}`);
  for await (const text of stream.body!.pipeThrough(new TextDecoderStream())) {
    const [, event] = /^event: next\ndata: (.*)$/m.exec(text) ?? [];
    if (event !== undefined) return JSON.parse(event).payload;
  }
  return {};
}

async function errorsOver(
  t: TestContext,
  transport: string,
  url: string,
  query: string,
): Promise<{ message: string; extensions: Record<string, unknown> }[]> {
  if (transport === 'ws') {
    const result = subscribe(t, transport, url, query).next();
    return result.then(({ value }) => value.errors).catch((errors: unknown) => errors);
  }
  if (transport === 'single-connection sse') return (await postToStream(url, query)).errors;
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: transport },
    body: JSON.stringify({ query }),
  });
  const text = await response.text();
  return JSON.parse(/\{"errors".*\}/.exec(text)?.[0] ?? text).errors;
}

for (const transport of [
  'application/json',
  'application/graphql-response+json',
  'text/event-stream',
  'multipart/mixed;subscriptionSpec=1.0',
  'single-connection sse',
  'ws',
])
  test(`${transport}: a document that exceeds a limit is refused with one error that names the limit`, async t => {
    const { url, requests } = await startGateway(t, { env: { INTROSPECTION: 'false' } });
    for (const [name, [query, variable]] of Object.entries(REFUSED_DOCUMENTS)) {
      const errors = await errorsOver(t, transport, url, query);
      assert.equal(errors.length, 1, `${name}: ${errors.length} errors`);
      const [{ message, extensions }] = errors as [(typeof errors)[0]];
      assert.equal(extensions['code'], 'BAD_USER_INPUT', name);
      assert.ok(message.includes(variable), `${name}: ${message}`);
      assert.equal(extensions['http'], undefined, name);
    }
    assert.deepEqual(requests(), []);
  });

/**
 * Operations in which more fields wait for upstream at once than Node expects listeners on a
 * signal.
 */
const MANY_FIELDS: [query: string, transports: readonly string[]][] = [
  [`{ ${repeat(50, place => `a${place}: taskStatus(id: "x${place}") { id }`)} }`, TRANSPORTS],
  [
    `subscription ($id: ID!) { taskProgress(id: $id) { target { source { ${repeat(
      30,
      place => `a${place}: tasks(filter: { launcher: { eq: "${place}" } }) { nodes { id } }`,
    )} } } } }`,
    TRANSPORTS,
  ],
];

test('an operation in which many fields wait for upstream makes Node print no warning', async t => {
  const warnings: Error[] = [];
  const keep = (warning: Error) => void warnings.push(warning);
  process.on('warning', keep);
  t.after(() => process.off('warning', keep));
  const { url, tenant } = await startGateway(t);
  const id = tenant.addTask({ queueMs: 0, runMs: 0, target: tenant.sources[0] });
  for (const [query, transports] of MANY_FIELDS)
    for (const transport of transports as typeof TRANSPORTS) {
      const variables = query.includes('$id') ? { id } : {};
      const { value } = await subscribe(t, transport, url, query, variables).next();
      assert.equal(value.errors, undefined, JSON.stringify(value.errors));
    }
  assert.deepEqual(warnings, []);
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  type GraphQLObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
  buildSchema,
  getNamedType,
  isObjectType,
  print,
} from 'graphql';
import { fetchQuery } from 'relay-runtime';
import * as apollo from '../../examples/clients/apollo.ts';
import { WholeTaskDocument } from '../../examples/clients/generated/graphql.ts';
import { request } from '../../examples/clients/tanstack.ts';
import '../support/global-web-socket.ts';
import { sendJson, startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { compileRelay, createRelayEnvironment } from '../support/relay.ts';
import { SPECIFIED_ROW } from '../support/row.ts';

const SCHEMA = buildSchema(readFileSync(new URL('../../schema.graphql', import.meta.url), 'utf8'));
const ID = SPECIFIED_ROW.id;
const AGGREGATION = {
  start: '2026-08-20T06:00:00.425Z',
  status: 'COMPLETED',
  totalAccounts: 40_000,
  processedAccounts: 39_000,
  totalAccountsMarkedForDeletion: 12,
  deletedAccounts: 12,
  totalIdentities: 900,
  processedIdentities: 900,
};

/** The fields of a type that a selection leaves out, as paths. Other entities are not entered. */
function missingFields(type: GraphQLObjectType, { selections }: SelectionSetNode): string[] {
  const selected = new Map(
    selections.map(field => {
      assert.ok(field.kind === Kind.FIELD);
      return [field.name.value, field];
    }),
  );
  return Object.values(type.getFields()).flatMap(({ name, type: fieldType }) => {
    const field = selected.get(name);
    if (!field) return [`${type.name}.${name}`];
    const named = getNamedType(fieldType);
    const isEntity = ['Source', 'Identity'].includes(named.name);
    return field.selectionSet && isObjectType(named) && !isEntity
      ? missingFields(named, field.selectionSet)
      : [];
  });
}

/** A gateway over an upstream that has one task, the specified one, and its aggregation. */
async function start(t: Parameters<typeof startHostileUpstream>[0]) {
  const upstream = await startHostileUpstream(t);
  upstream.respond = (response, { url = '' }) =>
    sendJson(response, 200, url.includes('aggregations') ? AGGREGATION : [SPECIFIED_ROW]);
  return startGatewayOver(t, upstream.url);
}

test('the operation WholeTask of the examples selects every field of a task (#14)', () => {
  const [operation] = WholeTaskDocument.definitions as OperationDefinitionNode[];
  const [task] = operation!.selectionSet.selections;
  assert.ok(task?.kind === Kind.FIELD && task.selectionSet);
  const type = SCHEMA.getType('TaskStatus') as GraphQLObjectType;
  assert.deepEqual(missingFields(type, task.selectionSet), []);
});

test('an Apollo, a Relay and a codegen client read every field of a task as the gateway sends it (#14)', async t => {
  const { url, query } = await start(t);
  const text = print(WholeTaskDocument);
  const { data, errors } = await query(text, { id: ID });
  assert.equal(errors, undefined);
  const sent = data.taskStatus;
  assert.deepEqual(
    [sent.id, sent.state, sent.attributes, sent.accountAggregation.processedAccounts],
    [ID, 'COMPLETED', SPECIFIED_ROW.attributes, 39_000],
  );

  const byCodegen = await request(url, WholeTaskDocument, { id: ID });
  assert.deepEqual(byCodegen.taskStatus, sent);

  const client = apollo.createTaskClient({ url });
  t.after(() => client.stop());
  const byApollo = await client.query({ query: WholeTaskDocument, variables: { id: ID } });
  assert.deepEqual(withoutTypenames(byApollo.data?.taskStatus), sent);

  const screen = `graphql\`${text.replace('WholeTask', 'screenQuery')}\``;
  const artifacts = await compileRelay(t, screen);
  const environment = createRelayEnvironment(url);
  const byRelay = await fetchQuery(environment, artifacts.request('screenQuery'), {
    id: ID,
  }).toPromise();
  assert.deepEqual((byRelay as { taskStatus: unknown }).taskStatus, sent);
});

function withoutTypenames(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, part: unknown) => (key === '__typename' ? undefined : part)),
  );
}

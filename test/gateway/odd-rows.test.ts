import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { readConfig } from '../../src/config.ts';
import { startGateway } from '../../src/gateway.ts';
import type { Log } from '../../src/log.ts';
import { ROW_MUTATIONS, type RowMutation } from '../../src/sandbox/row-mutations.ts';
import { environmentOver, postGraphQL, startSandbox } from '../support/start.ts';
import { collect, subscribe } from '../support/subscribe.ts';

const ALL_FIELDS = `
  id type rawType uniqueName description parentName launcher created modified launched completed
  completionStatus rawCompletionStatus progress percentComplete attributes
  state effectivePercentComplete elapsedSeconds estimatedCompletion
  target { id type rawType name source { id } identity { id } }
  messages { type key localizedText { locale message } parameters }
  returns { name attributeName }
  taskDefinitionSummary { id uniqueName description parentName executor arguments }`;
const ENDED = { queueMs: 0, runMs: 60_000, status: 'ERROR', hasDefinition: true } as const;
/** Mutations that make a row unreadable, and the error that the caller gets. */
const COSTLY: Partial<Record<RowMutation, RegExp>> = {
  'id-missing': /id \(missing\)/,
  'created-unreadable': /created \(unreadable\)/,
};
/** The values that replace unreadable ones, by mutation. */
const FALLBACKS: Partial<Record<RowMutation, object>> = {
  'type-missing': { type: 'UNKNOWN', rawType: '' },
  'type-new': { type: 'UNKNOWN', rawType: 'WORKFLOW' },
  'names-missing': { uniqueName: '', description: null },
  'description-number': { description: '42' },
  'target-text': { target: { id: null, type: null, rawType: null, source: null, identity: null } },
  'dates-empty': { modified: null, launched: null, elapsedSeconds: null },
  'dates-unreadable': { modified: null, launched: null, elapsedSeconds: null },
  'status-blank': { completionStatus: null, state: 'RUNNING', effectivePercentComplete: 100 },
  'status-new': { completionStatus: 'UNKNOWN', rawCompletionStatus: 'PARTIAL_SUCCESS' },
  'messages-null': { messages: [] },
  'message-text': {
    messages: [{ type: 'UNKNOWN', key: 'It failed.', localizedText: null, parameters: null }],
  },
  'message-null': { messages: [] },
  'message-untyped': { messages: [{ type: 'UNKNOWN', key: 'connection_refused' }] },
  'message-flagged': { messages: [{ type: 'WARN', key: 'connection_refused' }] },
  'message-keyless': { messages: [{ key: 'The connection to the source was refused.' }] },
  'message-plain-text': { messages: [{ localizedText: { locale: null, message: 'It failed.' } }] },
  'message-no-locale': { messages: [{ localizedText: { locale: null, message: 'It failed.' } }] },
  'returns-null': { returns: [] },
  'return-text': { returns: [{ name: 'total', attributeName: 'total' }] },
  'return-display-label': { returns: [{ name: 'Total', attributeName: 'total' }] },
  'return-unlabelled': { returns: [{ name: 'total', attributeName: 'total' }] },
  'attributes-null': { attributes: {} },
  'attributes-text': { attributes: {} },
  'percent-missing': { percentComplete: 0, effectivePercentComplete: 100 },
  'percent-null': { percentComplete: 0, effectivePercentComplete: 100 },
  'percent-text': { percentComplete: 100 },
  'percent-out-of-range': { percentComplete: 100 },
  'definition-partial': { taskDefinitionSummary: null },
  'definition-text': { taskDefinitionSummary: null },
};

/** A gateway over a sandbox, and the warnings in its log. */
async function start(t: TestContext) {
  const sandbox = await startSandbox(t, { rateLimit: Infinity });
  const warnings: Record<string, unknown>[] = [];
  const note = (line: object) => void warnings.push({ ...line });
  const ignore = () => {};
  const log = { debug: ignore, info: ignore, warn: note, error: note } as unknown as Log;
  const config = readConfig({
    ...environmentOver(sandbox),
    PROGRESS_INTERVAL_MS: '20',
    UPSTREAM_RATE_LIMIT: '100000',
    MAX_STALENESS_MS: '0',
  });
  const gateway = await startGateway({ ...config, baseUrl: new URL(sandbox.url) }, undefined, log);
  t.after(() => gateway.close());
  const query = (text: string) => postGraphQL(gateway.url, text);
  return { sandbox, tenant: sandbox.tenant, url: gateway.url, query, warnings };
}

/** Picks the keys of `expected` from `actual`, to any depth. */
function assertHas(actual: any, expected: any, what: string): void {
  if (typeof expected !== 'object' || expected === null)
    return assert.equal(actual, expected, what);
  if (Array.isArray(expected) || Object.keys(expected).length === 0)
    assert.equal(Object.keys(actual).length, Object.keys(expected).length, what);
  for (const key of Object.keys(expected)) assertHas(actual[key], expected[key], `${what}: ${key}`);
  return undefined;
}

test('an odd row is served with every field, in a list and by id; it is an error only if it makes the task unreadable', async t => {
  const { sandbox, tenant, query } = await start(t);
  const id = tenant.addTask(ENDED);
  tenant.finish(id, 'ERROR');
  for (const mutation of Object.keys(ROW_MUTATIONS) as RowMutation[]) {
    sandbox.faults.clear();
    sandbox.faults.order({ fault: { kind: 'row', mutation, all: true } });
    const list = await query(`{ taskStatuses { nodes { ${ALL_FIELDS} } } }`);
    const single = await query(`{ taskStatus(id: "${id}") { ${ALL_FIELDS} } }`);
    const reason = COSTLY[mutation];
    if (reason === undefined) {
      assert.deepEqual([list.errors, single.errors], [undefined, undefined], mutation);
      for (const task of [list.data.taskStatuses.nodes[0], single.data.taskStatus]) {
        assert.equal(task.id, id, mutation);
        assert.equal(task.effectivePercentComplete, 100, mutation);
        for (const [field, expected] of Object.entries(FALLBACKS[mutation] ?? {}))
          assertHas(task[field], expected, `${mutation}: ${field}`);
      }
      continue;
    }
    assert.deepEqual(list.data.taskStatuses.nodes, []);
    assert.equal(list.errors?.[0]?.extensions['code'], 'UPSTREAM_INVALID_RESPONSE');
    assert.match(list.errors?.[0]?.message ?? '', reason);
    assert.equal(single.data.taskStatus, null);
  }
});

test('an odd row does not affect the other rows', async t => {
  const { sandbox, tenant, query } = await start(t);
  const ids = tenant.addTasks(3, ENDED);
  sandbox.faults.order({ fault: { kind: 'row', mutation: 'message-text', ids: [ids[1]!] } });
  sandbox.faults.order({ fault: { kind: 'row', mutation: 'created-unreadable', ids: [ids[2]!] } });
  const { data, errors } = await query('{ taskStatuses { nodes { id messages { key } } } }');
  const messages = Object.fromEntries(
    data.taskStatuses.nodes.map((task: any) => [task.id, task.messages]),
  );
  assert.deepEqual(messages, { [ids[0]!]: [], [ids[1]!]: [{ key: 'It failed.' }] });
  assert.deepEqual(
    errors?.map(({ path, extensions }) => [path, extensions['code']]),
    [[['taskStatuses'], 'UPSTREAM_INVALID_RESPONSE']],
  );
});

test('each kind of oddity is logged once, by field and without a value', async t => {
  const { sandbox, tenant, query, warnings } = await start(t);
  tenant.addTasks(20, ENDED);
  for (const mutation of ['percent-null', 'attributes-text', 'type-new'] as const)
    sandbox.faults.order({ fault: { kind: 'row', mutation, all: true } });
  for (let count = 0; count < 3; count++) await query('{ taskStatuses { nodes { id } } }');
  assert.deepEqual(warnings, [
    { field: 'type', found: 'unknown value', value: 'WORKFLOW' },
    { field: 'attributes', found: 'string' },
    { field: 'percentComplete', found: 'null' },
  ]);
});

for (const mutation of [
  'message-text',
  'message-flagged',
  'messages-null',
  'percent-null',
] as const)
  test(`a failed task whose row is odd (${mutation}) still ends its subscription`, async t => {
    const { sandbox, tenant, url } = await start(t);
    sandbox.faults.order({ fault: { kind: 'row', mutation, all: true } });
    const id = tenant.addTask({ ...ENDED, queueMs: 0, runMs: 200, statusLagMs: 100 });
    const progress = `subscription { taskProgress(id: "${id}") { state effectivePercentComplete messages { key } } }`;
    const changes = `subscription { taskStatusChanged(filter: { id: { eq: "${id}" } }, snapshot: true) { kind } }`;
    const followed = collect(subscribe(t, 'ws', url, progress));
    const kinds: string[] = [];
    for await (const { data } of subscribe(t, 'sse', url, changes)) {
      kinds.push(data.taskStatusChanged.kind);
      if (kinds.at(-1) === 'COMPLETED') break;
    }
    const events = await followed;
    assert.ok(events.every(({ errors }) => errors === undefined));
    assert.equal(events.at(-1).data.taskProgress.state, 'COMPLETED');
  });

test('a task that never gets a completion date ends by its completion status', async t => {
  const { tenant, url } = await start(t);
  const id = tenant.addTask({ queueMs: 0, runMs: 100, ending: 'undated', status: 'SUCCESS' });
  const query = `subscription { taskProgress(id: "${id}") { state completed completionStatus effectivePercentComplete } }`;
  const events = await collect(subscribe(t, 'ws', url, query));
  assert.deepEqual(events.at(-1).data.taskProgress, {
    state: 'COMPLETED',
    completed: null,
    completionStatus: 'SUCCESS',
    effectivePercentComplete: 100,
  });
});

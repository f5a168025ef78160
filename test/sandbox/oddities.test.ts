import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ROW_MUTATIONS, type RowMutation } from '../../src/sandbox/row-mutations.ts';
import type { SandboxOptions } from '../../src/sandbox/sandbox.ts';
import { HandClock } from '../support/hand-clock.ts';
import { SPECIFIED_ROW } from '../support/row.ts';
import { fetchToken, startSandbox } from '../support/start.ts';

const STATUSES = new Set(['SUCCESS', 'WARNING', 'ERROR', 'TERMINATED', 'TEMPERROR']);
const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const REQUIRED = Object.keys(SPECIFIED_ROW).filter(
  name => name !== 'target' && name !== 'taskDefinitionSummary',
);

async function connect(t: TestContext, options: SandboxOptions) {
  const clock = new HandClock();
  const sandbox = await startSandbox(t, { clock, rateLimit: Infinity, ...options });
  const authorization = `Bearer ${await fetchToken(sandbox)}`;
  const get = (path: string) => fetch(`${sandbox.url}${path}`, { headers: { authorization } });
  const readAll = async (): Promise<any[]> => (await get('/task-status/v1?sorters=created')).json();
  /** Every row, as it is five times a second for 40 seconds. */
  const readLives = async () => {
    const rows = [];
    for (let step = 0; step < 200; step++) {
      rows.push(...(await readAll()));
      clock.advance(200);
    }
    return rows;
  };
  return { clock, tenant: sandbox.tenant, sandbox, get, readAll, readLives };
}

test('without oddities every row follows the specification during its whole life', async t => {
  const { tenant, readLives } = await connect(t, { oddities: false });
  tenant.addTasks(40, { runMs: 20_000 });
  for (const row of await readLives()) {
    assert.deepEqual(
      REQUIRED.filter(name => row[name] === undefined),
      [],
    );
    assert.equal(row.type, 'QUARTZ');
    assert.ok(row.completionStatus === null || STATUSES.has(row.completionStatus));
    assert.equal(row.completionStatus === null, row.completed === null, 'set in one write');
    for (const date of [row.created, row.modified, row.launched, row.completed])
      if (date !== null) assert.match(date, DATE);
    assert.ok(Number.isInteger(row.percentComplete));
    if (row.completed !== null) assert.equal(row.percentComplete, 100);
    for (const { type, localizedText, parameters } of row.messages) {
      assert.ok(['INFO', 'WARN', 'ERROR'].includes(type));
      assert.ok(localizedText === null || localizedText.locale === 'en-US');
      assert.deepEqual(parameters, []);
    }
    for (const { name, attributeName } of row.returns) assert.ok(name && attributeName);
  }
});

test('with oddities, tasks deviate from the specification as those of live tenants do', async t => {
  const { tenant, readLives } = await connect(t, { oddities: true });
  tenant.addTasks(200, { runMs: 20_000 });
  const rows = await readLives();
  const oddities: Record<string, (row: any) => boolean> = {
    'dated before it has a status': row => row.completed !== null && row.completionStatus === null,
    'an empty status for a moment': row => row.completed !== null && row.completionStatus === '',
    'a status before the date': row => row.completed === null && Boolean(row.completionStatus),
    'ended at 0 %': row => Boolean(row.completionStatus) && row.percentComplete === 0,
    'epoch dates': row => typeof row.created === 'number',
    'dates with a basic offset': row => String(row.created).endsWith('+0000'),
    'a status in mixed case': row => row.completionStatus === 'Success',
    'a status with an underscore': row => row.completionStatus === 'TEMP_ERROR',
    'a new status': row => row.completionStatus === 'PARTIAL_SUCCESS',
    'a percentage that is a text': row => typeof row.percentComplete === 'string',
    'no percentage': row => row.percentComplete === null,
    'name in place of uniqueName': row => row.uniqueName === undefined && row.name !== undefined,
    'a displayLabel': row => row.returns[0]?.displayLabel !== undefined,
    'a plain text of a message': row => typeof row.messages[0]?.localizedText === 'string',
  };
  for (const [what, isOdd] of Object.entries(oddities)) assert.ok(rows.some(isOdd), what);
  const last = new Map(rows.map(row => [row.id, row]));
  assert.ok(
    [...last.values()].every(row => row.completionStatus),
    'every task ends',
  );
  assert.ok(
    [...last.values()].some(row => row.completed === null),
    'a date may never come',
  );
});

test('with oddities the sandbox rejects what live tenants reject beyond the specification', async t => {
  for (const oddities of [true, false]) {
    const { get } = await connect(t, { oddities });
    const refusal = async (filter: string) => {
      const answer = await get(`/task-status/v1?filters=${encodeURIComponent(filter)}`);
      const { detailCode, messages } = await answer.json();
      return [answer.status, detailCode, messages?.[0].text];
    };
    assert.deepEqual(
      await refusal('created gt "2026-01-01"'),
      oddities
        ? [500, '500.0 Internal Fault', 'An internal fault occurred.']
        : [400, '400.1.3 Illegal value', 'Filter property created is not supported'],
    );
    assert.deepEqual(
      await refusal('type in ("CLOUD_REFRESH_ROLE", "CLOUD_ENTITLEMENT_IMPORT")'),
      oddities
        ? [400, '400.1.3 Illegal value', 'Unsupported Task Definition type']
        : [200, undefined, undefined],
    );
  }
});

test('a count can be requested in upper or lower case', async t => {
  const { tenant, get } = await connect(t, {});
  tenant.addTasks(2);
  for (const [query, total] of [
    ['count=true', '2'],
    ['count=True', '2'],
    ['count=TRUE', '2'],
    ['count=false', null],
    ['count=', null],
  ] as const)
    assert.equal((await get(`/task-status/v1?${query}`)).headers.get('x-total-count'), total);
});

test('mutated rows can be ordered: one at random, those with some ids, or all', async t => {
  const { sandbox, tenant, get } = await connect(t, {});
  const ids = tenant.addTasks(3, { queueMs: 0, runMs: 60_000 });
  const list = async (): Promise<any[]> => (await get('/task-status/v1')).json();
  const plain = await list();
  for (const mutation of Object.keys(ROW_MUTATIONS) as RowMutation[]) {
    sandbox.faults.clear();
    sandbox.faults.order({ fault: { kind: 'row', mutation } });
    const differs = (row: any, place: number) =>
      JSON.stringify(row) !== JSON.stringify(plain[place]);
    assert.equal((await list()).filter(differs).length, 1, mutation);
    sandbox.faults.clear();
    sandbox.faults.order({ fault: { kind: 'row', mutation, all: true } });
    assert.equal((await list()).filter(differs).length, 3, mutation);
    sandbox.faults.clear();
    sandbox.faults.order({ fault: { kind: 'row', mutation, ids: [ids[1]!] } });
    assert.deepEqual((await list()).filter(differs).length, 1, mutation);
    const [own, other] = await Promise.all(
      [ids[1], ids[0]].map(async id => (await get(`/task-status/v1/${id}`)).json()),
    );
    assert.notDeepEqual(
      own,
      plain.find(({ id }) => id === ids[1]),
      mutation,
    );
    assert.deepEqual(
      other,
      plain.find(({ id }) => id === ids[0]),
      mutation,
    );
  }
});

test('the error for an unknown fault ordered over HTTP lists the known ones', async t => {
  const { sandbox } = await connect(t, {});
  const order = (fault: object) =>
    fetch(`${sandbox.url}/sandbox/faults`, { method: 'POST', body: JSON.stringify({ fault }) });
  assert.equal((await order({ kind: 'row', mutation: 'percent-null', all: true })).status, 204);
  const refused = await order({ kind: 'row', mutation: 'toString' });
  assert.equal(refused.status, 400);
  assert.match(await refused.text(), /percent-null/);
});

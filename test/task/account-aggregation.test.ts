import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinEvents } from '../../src/task/change.ts';
import { type Task, isAccountAggregation } from '../../src/task/task.ts';
import { readRow } from '../../src/upstream/wire.ts';
import { SPECIFIED_ROW } from '../support/row.ts';

const { taskDefinitionSummary } = SPECIFIED_ROW;
const definition = (serviceMethod: unknown, uniqueName = 'Nightly run') => ({
  taskDefinitionSummary: {
    ...taskDefinitionSummary,
    uniqueName,
    parentName: null,
    arguments: { serviceMethod },
  },
});

// oxfmt-ignore
const KINDS: [what: string, change: object, isAggregation: boolean][] = [
  ['the service method of an account aggregation', { uniqueName: 'Nightly', ...definition('accountAggregationTask') }, true],
  ['the service method of a group aggregation, whatever the name', definition('groupAggregationTask', 'Cloud Account Aggregation'), false],
  ['the name of the task, without a definition', { taskDefinitionSummary: null }, true],
  ['a name that says more', { uniqueName: 'Cloud Account Aggregation - Workday', taskDefinitionSummary: null }, true],
  ['a name in the words of filters', { uniqueName: 'CLOUD_ACCOUNT_AGGREGATION', taskDefinitionSummary: null }, true],
  ['the field `name`, as load-accounts has it', { uniqueName: undefined, name: 'Cloud Account Aggregation', taskDefinitionSummary: null }, true],
  ['the name of the definition, with a blank service method', { uniqueName: 'Nightly', ...definition(' ', 'Cloud Account Aggregation') }, true],
  ['the name of the definition, with a service method that is no text', { uniqueName: 'Nightly', ...definition(7, 'Cloud Account Aggregation') }, true],
  ['the name of a group aggregation', { uniqueName: 'Cloud Group Aggregation', taskDefinitionSummary: null }, false],
  ['the name of another task', { uniqueName: 'Cloud Refresh Role', taskDefinitionSummary: null }, false],
  ['no name at all', { uniqueName: null, description: null, taskDefinitionSummary: null }, false],
];

for (const [what, change, expected] of KINDS)
  test(`${what}: ${expected ? 'an' : 'no'} account aggregation`, () => {
    const task = readRow({ ...SPECIFIED_ROW, ...change }) as Task;
    assert.equal(isAccountAggregation(task), expected);
  });

test('a first reading that joins an unread change does not hide it', () => {
  const task = readRow(SPECIFIED_ROW) as Task;
  const read = { ...task, aggregation: { aggregation: null } };
  const first = { kind: 'UPDATED', task: read, isFirstReading: true } as const;
  for (const kind of ['SNAPSHOT', 'ADDED', 'UPDATED', 'COMPLETED'] as const)
    assert.deepEqual(joinEvents({ kind, task }, first), { kind, task: read });
  assert.deepEqual(joinEvents(first, first), first);
  assert.deepEqual(joinEvents(first, { kind: 'COMPLETED', task }), { kind: 'COMPLETED', task });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type TaskChangeKind, changeOf, joinEvents } from '../../src/task/change.ts';
import { readCursor, tagOf, toCursor } from '../../src/task/cursor.ts';
import {
  type Task,
  effectivePercentCompleteOf,
  elapsedSecondsOf,
  estimatedCompletionOf,
  isCompleted,
  keepProgress,
  stateOf,
} from '../../src/task/task.ts';

const TASK: Task = {
  id: 'a',
  type: 'QUARTZ',
  rawType: 'QUARTZ',
  uniqueName: 'n',
  description: null,
  parentName: null,
  launcher: null,
  target: null,
  created: 1_000,
  modified: null,
  launched: null,
  completed: null,
  completionStatus: null,
  rawCompletionStatus: null,
  messages: [],
  returns: [],
  attributes: {},
  progress: null,
  percentComplete: 0,
  percentFloor: 0,
  taskDefinitionSummary: null,
  etag: '',
  wireBytes: 0,
};
const RUNNING: Task = { ...TASK, launched: 2_000, percentComplete: 25 };
const DATED: Task = { ...RUNNING, completed: 6_000 };
const DONE: Task = { ...DATED, completionStatus: 'SUCCESS', percentComplete: 0 };

const STATED: Task = { ...RUNNING, completionStatus: 'ERROR', modified: 7_000 };

test('a task is COMPLETED as soon as its status is set, dated or not, and no sooner', () => {
  assert.deepEqual(
    [TASK, { ...TASK, completed: 6_000 }, RUNNING, DATED, STATED, DONE].map(stateOf),
    ['PENDING', 'RUNNING', 'RUNNING', 'RUNNING', 'COMPLETED', 'COMPLETED'],
  );
  assert.deepEqual([DATED, STATED, DONE].map(isCompleted), [false, true, true]);
});

test('the percentage is 100 from the moment either the date or the status is there, whatever upstream leaves there', () => {
  assert.deepEqual(
    [RUNNING, DATED, { ...DATED, percentComplete: 0 }, STATED, DONE].map(
      effectivePercentCompleteOf,
    ),
    [25, 100, 100, 100, 100],
  );
});

test('the percentage in a stream never falls, and rises when upstream reports more', () => {
  const shown = (percents: (number | 'ended')[]) => {
    let before: Task | null = null;
    return percents.map(percent => {
      const read: Task = percent === 'ended' ? DATED : { ...RUNNING, percentComplete: percent };
      before = keepProgress(before, read);
      return effectivePercentCompleteOf(before);
    });
  };
  assert.deepEqual(shown([10, 94, 0, 0, 95, 'ended']), [10, 94, 94, 94, 95, 100]);
  assert.deepEqual(shown([50, 'ended', 50]), [50, 100, 100]);
  const same = { ...RUNNING, percentComplete: 30 };
  assert.equal(keepProgress(RUNNING, same), same, 'no copy is made of what reports no less');
  assert.equal(
    estimatedCompletionOf(keepProgress({ ...RUNNING, percentComplete: 50 }, TASK), () => 4_000),
    null,
  );
  assert.equal(
    estimatedCompletionOf(
      keepProgress({ ...RUNNING, percentComplete: 50 }, { ...RUNNING, percentComplete: 0 }),
      () => 4_000,
    ),
    6_000,
  );
});

test('time runs from launch to the end, never backwards, and not after the end', () => {
  assert.deepEqual(
    [
      elapsedSecondsOf(TASK, () => 9_000),
      elapsedSecondsOf(RUNNING, () => 9_000),
      elapsedSecondsOf(DATED, () => 9_000),
      elapsedSecondsOf(DONE, () => 9_000),
      elapsedSecondsOf(RUNNING, () => 0),
    ],
    [null, 7, 4, 4, 0],
  );
  assert.equal(
    elapsedSecondsOf(STATED, () => 9_000),
    5,
    'no date of the end: the record was last written then',
  );
  assert.equal(
    elapsedSecondsOf({ ...STATED, modified: null }, () => 9_000),
    null,
  );
});

test('an end is estimated only from a percentage of 1 to 99', () => {
  assert.equal(
    estimatedCompletionOf(RUNNING, () => 4_000),
    10_000,
  );
  for (const task of [
    TASK,
    DATED,
    STATED,
    DONE,
    { ...RUNNING, percentComplete: 0 },
    { ...RUNNING, percentComplete: 100 },
  ])
    assert.equal(
      estimatedCompletionOf(task, () => 4_000),
      null,
    );
});

test('a change is a difference that clients can see', () => {
  assert.equal(changeOf(null, RUNNING), 'ADDED');
  assert.equal(changeOf(RUNNING, structuredClone(RUNNING)), null);
  assert.equal(changeOf(RUNNING, { ...RUNNING, attributes: { total: '1' } }), 'UPDATED');
  assert.equal(changeOf(DATED, DONE), 'COMPLETED');
  assert.equal(changeOf(null, DONE), 'COMPLETED');
  assert.equal(changeOf(RUNNING, STATED), 'COMPLETED');
  assert.equal(changeOf(STATED, { ...STATED, completed: 6_000 }), 'UPDATED');
  assert.equal(changeOf(DONE, { ...DONE, modified: 7_000 }), 'UPDATED');
});

test('joining two unread changes keeps ADDED', () => {
  const kinds = (...pair: [TaskChangeKind, TaskChangeKind]) =>
    joinEvents({ kind: pair[0], task: TASK }, { kind: pair[1], task: RUNNING });
  assert.deepEqual(kinds('ADDED', 'UPDATED'), { kind: 'ADDED', task: RUNNING });
  assert.deepEqual(kinds('ADDED', 'COMPLETED'), { kind: 'COMPLETED', task: RUNNING });
  assert.deepEqual(kinds('UPDATED', 'UPDATED'), { kind: 'UPDATED', task: RUNNING });
  assert.deepEqual(kinds('SNAPSHOT', 'UPDATED'), { kind: 'SNAPSHOT', task: RUNNING });
});

test('a cursor is decoded to what was encoded, for any id', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', minLength: 1 }),
      fc.nat(),
      fc.integer(),
      fc.constantFrom('CREATED_ASC' as const, 'CREATED_DESC' as const),
      fc.array(fc.string().map(tagOf), { maxLength: 20 }),
      (id, offset, created, order, ties) => {
        const task = { ...TASK, id, created };
        const cursor = readCursor(toCursor(order, offset, task, ties), order);
        assert.deepEqual(cursor, { order, offset, created, id, ties });
      },
    ),
  );
});

test('text that is not a cursor is rejected, and so is a cursor of the opposite order', () => {
  for (const text of [
    '',
    'x',
    '!!!',
    Buffer.from('ASC:1').toString('base64url'),
    Buffer.from('ASC:99999999999:1:a').toString('base64url'),
    // No date has this instant.
    Buffer.from('ASC:1:8640000000000001::a').toString('base64url'),
  ])
    assert.throws(() => readCursor(text, 'CREATED_ASC'), { code: 'BAD_USER_INPUT' });
  assert.throws(() => readCursor(toCursor('CREATED_ASC', 0, TASK), 'CREATED_DESC'), {
    code: 'BAD_USER_INPUT',
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createRowReader } from '../../src/upstream/row-reader.ts';
import { UnreadableTask, readRow } from '../../src/upstream/wire.ts';

const readRows = (body: unknown) => createRowReader().rows(Buffer.from(JSON.stringify(body) ?? ''));

const TASK = {
  id: 'a',
  type: 'QUARTZ',
  uniqueName: 'Cloud Account Aggregation',
  description: 'Aggregates from the specified application.',
  parentName: null,
  launcher: 'System',
  target: null,
  created: '2026-08-20T06:00:00.412Z',
  modified: null,
  launched: null,
  completed: null,
  completionStatus: null,
  messages: [],
  returns: [],
  attributes: {},
  progress: null,
  percentComplete: 0,
};

function read(change: Record<string, unknown>) {
  const row = readRow({ ...TASK, ...change });
  assert.ok(
    !(row instanceof UnreadableTask),
    row instanceof UnreadableTask ? row.error.message : '',
  );
  return row;
}

test('dates are read in every format that upstream was seen to send', () => {
  const instant = Date.UTC(2026, 7, 20, 6, 0, 0, 412);
  for (const created of [
    '2026-08-20T06:00:00.412Z',
    '2026-08-20T06:00:00.412+00:00',
    '2026-08-20T06:00:00.412+0000',
    '2026-08-20T08:00:00.412+02:00',
    '2026-08-20T01:30:00.412-0430',
    '2026-08-20 06:00:00.412000+00:00',
    '2026-08-20T06:00:00.412999999Z',
    '2026-08-20T06:00:00.412',
    instant,
  ])
    assert.equal(read({ created }).created, instant, String(created));
  assert.equal(read({ created: '2026-08-20T06:00:00Z' }).created, instant - 412);
  assert.equal(read({ created: '2026-08-20T06:00Z' }).created, instant - 412);
});

test('an invalid creation date makes the task unreadable', () => {
  for (const created of ['yesterday', '2026-13-45T00:00:00Z', '', null, undefined, 9e15, {}])
    assert.ok(readRow({ ...TASK, created }) instanceof UnreadableTask, JSON.stringify(created));
});

test('enum values are read in either case, and an unknown one is UNKNOWN with its raw value', () => {
  const cases = [
    ['Success', 'SUCCESS'],
    ['TEMP_ERROR', 'TEMPERROR'],
    ['TempError', 'TEMPERROR'],
    ['warning', 'WARNING'],
    ['PARTIAL', 'UNKNOWN'],
  ];
  for (const [sent, status] of cases) {
    const task = read({ completionStatus: sent });
    assert.deepEqual([task.completionStatus, task.rawCompletionStatus], [status, sent]);
  }
  assert.deepEqual(
    [read({ type: 'WORKFLOW' }).type, read({ type: 'WORKFLOW' }).rawType],
    ['UNKNOWN', 'WORKFLOW'],
  );
  const message = { type: 'Warning', key: 'k', localizedText: null, parameters: null };
  assert.equal(read({ messages: [message] }).messages[0]?.type, 'WARN');
  assert.equal(read({ target: { id: 's', type: 'MACHINE', name: 'n' } }).target?.type, 'UNKNOWN');
});

test('fields that upstream omits or sends as null are empty, which is not an error', () => {
  const task = read({
    messages: null,
    returns: undefined,
    attributes: null,
    target: undefined,
    launcher: undefined,
  });
  assert.deepEqual(
    [task.messages, task.returns, task.attributes, task.target, task.launcher],
    [[], [], {}, null, null],
  );
});

test('attributes are passed through unchanged', () => {
  const attributes = JSON.parse('{"total":"12","nested":{"list":[1,null]},"eventId":88213}');
  assert.deepEqual(read({ attributes }).attributes, attributes);
});

test('a malformed row is an error at its place, whose message holds no value', () => {
  const rows = readRows([
    TASK,
    { ...TASK, id: 'b', created: 'hunter2', attributes: { password: 'hunter2' } },
    'nonsense',
    { ...TASK, id: 'c' },
  ]);
  assert.deepEqual(
    rows.map(({ id }) => id),
    ['a', 'b', null, 'c'],
  );
  const [, malformed] = rows;
  assert.ok(malformed instanceof UnreadableTask);
  assert.equal(malformed.error.code, 'UPSTREAM_INVALID_RESPONSE');
  assert.match(malformed.error.message, /created/);
  assert.doesNotMatch(malformed.error.message, /hunter2/);
});

test('for any JSON the reader throws no error but its own', () => {
  fc.assert(
    fc.property(fc.jsonValue(), json => {
      const row = readRow(json);
      assert.ok(row instanceof UnreadableTask || typeof row.id === 'string');
    }),
  );
  for (const body of [null, undefined, {}, 'x', 1])
    assert.throws(() => readRows(body), { code: 'UPSTREAM_INVALID_RESPONSE' });
});

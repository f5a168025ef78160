import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Task } from '../../src/task/task.ts';
import { UnreadableTask, readRow } from '../../src/upstream/wire.ts';
import { SPECIFIED_ROW } from '../support/row.ts';

/**
 * What a row has in place of the specified fields; what is read there; which fields are counted.
 */
type OddRow = [what: string, change: object, read: Partial<Task>, counted: string[]];

const { messages, taskDefinitionSummary } = SPECIFIED_ROW;
const [MESSAGE] = messages;
const EVENT = { type: 'UNKNOWN', key: 'k', localizedText: null, parameters: null } as const;
const SIX = Date.UTC(2026, 7, 20, 6);
const message = (change: object) => ({ messages: [{ ...MESSAGE, ...change }] });
const readMessage = (change: object) => ({
  messages: [{ ...MESSAGE, ...change }] as Task['messages'],
});
const oneReturn = (given: unknown) => ({ returns: [given] });
const readReturn = (name: string, attributeName: string) => ({
  returns: [{ name, attributeName }],
});
const definition = (change: object) => ({
  taskDefinitionSummary: { ...taskDefinitionSummary, ...change },
});

// oxfmt-ignore
const ODD_ROWS: OddRow[] = [
  ['an id that is a number', { id: 42 }, { id: '42' }, []],
  ['a dashed id', { id: '5d1f0c9a-b2e7-4b6f-8c3d' }, { id: '5d1f0c9a-b2e7-4b6f-8c3d' }, []],
  ['no type', { type: undefined }, { type: 'UNKNOWN', rawType: '' }, ['type missing']],
  ['a type of null', { type: null }, { type: 'UNKNOWN', rawType: '' }, ['type null']],
  ['a blank type', { type: ' ' }, { type: 'UNKNOWN', rawType: '' }, ['type blank']],
  ['a type in lower case', { type: 'quartz' }, { type: 'QUARTZ', rawType: 'quartz' }, []],
  ['a new type', { type: 'WORKFLOW' }, { type: 'UNKNOWN', rawType: 'WORKFLOW' }, ['type unknown value']],
  ['a type that is an object', { type: { name: 'QUARTZ' } }, { type: 'UNKNOWN', rawType: '' }, ['type object']],
  ['a type that is a number', { type: 3 }, { type: 'UNKNOWN', rawType: '3' }, ['type number', 'type unknown value']],
  ['name in place of uniqueName', { uniqueName: undefined, name: 'N' }, { uniqueName: 'N' }, ['uniqueName missing']],
  ['a blank uniqueName beside a name', { uniqueName: '', name: 'N' }, { uniqueName: 'N' }, ['uniqueName blank']],
  ['neither name: that of the definition', { uniqueName: null }, { uniqueName: taskDefinitionSummary.uniqueName }, ['uniqueName null']],
  ['no name anywhere: the description', { uniqueName: null, taskDefinitionSummary: null }, { uniqueName: SPECIFIED_ROW.description, taskDefinitionSummary: null }, ['uniqueName null']],
  ['no name and no description', { uniqueName: null, taskDefinitionSummary: null, description: null }, { uniqueName: '', description: null, taskDefinitionSummary: null }, ['uniqueName null']],
  ['a uniqueName that is a number', { uniqueName: 42 }, { uniqueName: '42' }, ['uniqueName number']],
  ['a description that is a number', { description: 7 }, { description: '7' }, ['description number']],
  ['a description that is a boolean', { description: false }, { description: 'false' }, ['description boolean']],
  ['a description that is an object', { description: { en: 'x' } }, { description: null }, ['description object']],
  ['a launcher that is a list', { launcher: ['ada'] }, { launcher: null }, ['launcher array']],
  ['no launcher', { launcher: undefined }, { launcher: null }, ['launcher missing']],
  ['a parentName that is a number', { parentName: 1 }, { parentName: '1' }, ['parentName number']],
  ['progress that is a number', { progress: 12 }, { progress: '12' }, ['progress number']],
  ['progress that is empty', { progress: '' }, { progress: '' }, []],
  ['no target', { target: undefined }, { target: null }, []],
  ['a target that is a text', { target: 'Workday' }, { target: { id: null, type: null, rawType: null, name: 'Workday' } }, ['target string']],
  ['a target that is a list', { target: [] }, { target: null }, ['target array']],
  ['a target without its parts', { target: {} }, { target: { id: null, type: null, rawType: null, name: null } }, []],
  ['a target of a new type', { target: { id: 's', type: 'MACHINE', name: 'n' } }, { target: { id: 's', type: 'UNKNOWN', rawType: 'MACHINE', name: 'n' } }, ['target.type unknown value']],
  ['a target whose id is a number and whose name is none', { target: { id: 9, type: 'application', name: {} } }, { target: { id: '9', type: 'APPLICATION', rawType: 'application', name: null } }, ['target.id number', 'target.name object']],
  ['a target with a blank id', { target: { id: '', type: 'IDENTITY', name: 'n' } }, { target: { id: null, type: 'IDENTITY', rawType: 'IDENTITY', name: 'n' } }, ['target.id blank']],
  ['a date of epoch milliseconds', { completed: SIX }, { completed: SIX }, []],
  ['a date of epoch seconds', { completed: SIX / 1000 }, { completed: SIX }, []],
  ['a date of epoch seconds with a fraction', { completed: SIX / 1000 + 0.412 }, { completed: SIX + 412 }, []],
  ['a date of epoch milliseconds as text', { completed: String(SIX) }, { completed: SIX }, []],
  ['a date of epoch seconds as text', { completed: ` ${SIX / 1000}.5 ` }, { completed: SIX + 500 }, []],
  ['a date with a zone of Java', { completed: '2026-08-20T06:00:00Z[UTC]' }, { completed: SIX }, []],
  ['a date with an offset and a zone', { completed: '2026-08-20T08:00+02:00[Europe/Berlin]' }, { completed: SIX }, []],
  ['a date with an offset of hours', { completed: '2026-08-20T08:00:00+02' }, { completed: SIX }, []],
  ['a date with an offset without colon', { completed: '2026-08-20 01:30:00-0430' }, { completed: SIX }, []],
  ['a date in lower case', { completed: '2026-08-20t06:00:00.000z' }, { completed: SIX }, []],
  ['a date with nine digits of a second', { completed: '2026-08-20T06:00:00.123456789Z' }, { completed: SIX + 123 }, []],
  ['a date with one digit of a second', { completed: '2026-08-20T06:00:00.5Z' }, { completed: SIX + 500 }, []],
  ['a date without offset', { completed: '2026-08-20T06:00:00' }, { completed: SIX }, []],
  ['a date without seconds', { completed: '2026-08-20T06:00Z' }, { completed: SIX }, []],
  ['a date alone', { completed: '2026-08-20' }, { completed: SIX - 6 * 3_600_000 }, []],
  ['a date in the basic form', { completed: '20260820T060000.5Z' }, { completed: SIX + 500 }, []],
  ['a date alone in the basic form', { completed: '20260820' }, { completed: SIX - 6 * 3_600_000 }, []],
  ['a date as HTTP has it', { completed: 'Thu, 20 Aug 2026 06:00:00 GMT' }, { completed: SIX }, []],
  ['a date as mail has it', { completed: '20 Aug 2026 08:00:00 +0200' }, { completed: SIX }, []],
  ['a date at the end of a day', { completed: '2026-08-19T24:00:00Z' }, { completed: SIX - 6 * 3_600_000 }, []],
  ['a date in a leap second', { completed: '2026-08-20T05:59:60Z' }, { completed: SIX }, []],
  ['an empty date', { completed: '' }, { completed: null }, ['completed unreadable']],
  ['a date of February 31', { launched: '2026-02-31T00:00:00.000Z' }, { launched: null }, ['launched unreadable']],
  ['a date of a month 13', { launched: '2026-13-01' }, { launched: null }, ['launched unreadable']],
  ['a date at 25 o’clock', { launched: '2026-08-20T25:00:00.000Z' }, { launched: null }, ['launched unreadable']],
  ['a date of a year that no calendar writes', { modified: '+275760-09-13T00:00:00Z' }, { modified: null }, ['modified unreadable']],
  ['a date too far off', { modified: 9e15 }, { modified: null }, ['modified unreadable']],
  ['a date that is a word', { modified: 'yesterday' }, { modified: null }, ['modified unreadable']],
  ['a date that is a boolean', { modified: true }, { modified: null }, ['modified boolean']],
  ['a date that is an object', { modified: { $date: SIX } }, { modified: null }, ['modified object']],
  ['a date of 0, which stands for none', { completed: 0 }, { completed: null }, ['completed unreadable']],
  ['a date of the year 1, which stands for none', { completed: '0001-01-01T00:00:00Z' }, { completed: null }, ['completed unreadable']],
  ['no dates', { modified: undefined, launched: null }, { modified: null, launched: null }, ['modified missing']],
  ['an empty status', { completionStatus: '' }, { completionStatus: null, rawCompletionStatus: null }, ['completionStatus blank']],
  ['a blank status', { completionStatus: ' \n' }, { completionStatus: null, rawCompletionStatus: null }, ['completionStatus blank']],
  ['no status', { completionStatus: undefined }, { completionStatus: null, rawCompletionStatus: null }, ['completionStatus missing']],
  ['a status in mixed case', { completionStatus: 'TempError' }, { completionStatus: 'TEMPERROR', rawCompletionStatus: 'TempError' }, []],
  ['a status with an underscore', { completionStatus: 'TEMP_ERROR' }, { completionStatus: 'TEMPERROR', rawCompletionStatus: 'TEMP_ERROR' }, []],
  ['a status with blanks around it', { completionStatus: ' Success ' }, { completionStatus: 'SUCCESS', rawCompletionStatus: ' Success ' }, []],
  ['a new status', { completionStatus: 'PARTIAL' }, { completionStatus: 'UNKNOWN', rawCompletionStatus: 'PARTIAL' }, ['completionStatus unknown value']],
  ['a status of false', { completionStatus: false }, { completionStatus: null, rawCompletionStatus: null }, ['completionStatus boolean']],
  ['a status that is a list', { completionStatus: [] }, { completionStatus: null, rawCompletionStatus: null }, ['completionStatus array']],
  ['messages of null', { messages: null }, { messages: [] }, ['messages null']],
  ['no messages', { messages: undefined }, { messages: [] }, ['messages missing']],
  ['messages that are one text', { messages: 'k' }, { messages: [EVENT] }, ['messages string', 'messages[] string']],
  ['messages that are one object', { messages: MESSAGE }, { messages: [MESSAGE as Task['messages'][0]] }, ['messages object']],
  ['messages that are an empty object', { messages: {} }, { messages: [] }, ['messages object', 'messages.localizedText missing', 'messages.key missing', 'messages.type missing', 'messages[] object']],
  ['a message that is a text', { messages: ['k'] }, { messages: [EVENT] }, ['messages[] string']],
  ['a message that is a number', { messages: [7] }, { messages: [{ ...EVENT, key: '7' }] }, ['messages[] number']],
  ['a message that is null', { messages: [null, MESSAGE] }, { messages: [MESSAGE as Task['messages'][0]] }, ['messages[] null']],
  ['a message that is a list', { messages: [[MESSAGE]] }, { messages: [] }, ['messages[] array']],
  ['a message that is blank', { messages: ['  '] }, { messages: [] }, ['messages[] string']],
  ['a message without type', message({ type: undefined }), readMessage({ type: 'UNKNOWN' }), ['messages.type missing']],
  ['a message without type that is an error', message({ type: undefined, error: true }), readMessage({ type: 'ERROR' }), ['messages.type missing']],
  ['a message without type that is a warning', message({ type: null, error: false, warning: true }), readMessage({ type: 'WARN' }), ['messages.type null']],
  ['a message of a new type', message({ type: 'FATAL' }), readMessage({ type: 'UNKNOWN' }), ['messages.type unknown value']],
  ['a message of type Warning', message({ type: 'Warning' }), readMessage({ type: 'WARN' }), []],
  ['a message without key', message({ key: undefined }), readMessage({ key: 'Account deletion was skipped.' }), ['messages.key missing']],
  ['a message with neither key nor text', message({ key: null, localizedText: null }), readMessage({ key: '', localizedText: null }), ['messages.key null']],
  ['a message whose text is called message', message({ key: null, localizedText: null, message: 'm' }), readMessage({ key: 'm', localizedText: null }), ['messages.key null']],
  ['a message whose text is a text', message({ localizedText: 'Skipped.' }), readMessage({ localizedText: { locale: null, message: 'Skipped.' } }), ['messages.localizedText string']],
  ['a message whose text is a list', message({ localizedText: [] }), readMessage({ localizedText: null }), ['messages.localizedText array']],
  ['a message whose text has no locale', message({ localizedText: { message: 'm' } }), readMessage({ localizedText: { locale: null, message: 'm' } }), ['messages.localizedText.locale missing']],
  ['a message whose text has nothing to say', message({ localizedText: { locale: 'en' } }), readMessage({ localizedText: null }), ['messages.localizedText.message missing']],
  ['a message without text and parameters', message({ localizedText: undefined, parameters: undefined }), readMessage({ localizedText: null, parameters: null }), ['messages.localizedText missing']],
  ['returns of null', { returns: null }, { returns: [] }, ['returns null']],
  ['returns that are an object', { returns: { total: 'x' } }, { returns: [] }, ['returns object', 'returns.name missing', 'returns.attributeName missing', 'returns[] object']],
  ['a return that is a text', oneReturn('total'), readReturn('total', 'total'), ['returns[] string']],
  ['a return that is null', oneReturn(null), { returns: [] }, ['returns[] null']],
  ['a return with a displayLabel', oneReturn({ displayLabel: 'Total', attributeName: 'total' }), readReturn('Total', 'total'), ['returns.name missing']],
  ['a return without a label', oneReturn({ attributeName: 'total' }), readReturn('total', 'total'), ['returns.name missing']],
  ['a return without a key', oneReturn({ name: 'Total' }), readReturn('Total', 'Total'), ['returns.attributeName missing']],
  ['a return of nothing', oneReturn({}), { returns: [] }, ['returns.name missing', 'returns.attributeName missing', 'returns[] object']],
  ['attributes of null', { attributes: null }, { attributes: {} }, ['attributes null']],
  ['attributes that are a text of JSON', { attributes: '{"a":1}' }, { attributes: {} }, ['attributes string']],
  ['attributes that are a list', { attributes: [1] }, { attributes: {} }, ['attributes array']],
  ['a percentage of null', { percentComplete: null }, { percentComplete: 0 }, ['percentComplete null']],
  ['no percentage', { percentComplete: undefined }, { percentComplete: 0 }, ['percentComplete missing']],
  ['a percentage that is a text', { percentComplete: '50' }, { percentComplete: 50 }, ['percentComplete string']],
  ['a percentage with its sign', { percentComplete: ' 50.4 %' }, { percentComplete: 50 }, ['percentComplete string']],
  ['a percentage that is a word', { percentComplete: 'half' }, { percentComplete: 0 }, ['percentComplete string']],
  ['a percentage above 100', { percentComplete: 250 }, { percentComplete: 100 }, ['percentComplete out of range']],
  ['a percentage below 0', { percentComplete: -3 }, { percentComplete: 0 }, ['percentComplete out of range']],
  ['a percentage that is no number', { percentComplete: NaN }, { percentComplete: 0 }, ['percentComplete out of range']],
  ['a percentage with a fraction', { percentComplete: 66.6 }, { percentComplete: 67 }, []],
  ['a percentage that is a boolean', { percentComplete: true }, { percentComplete: 0 }, ['percentComplete boolean']],
  ['no definition', { taskDefinitionSummary: undefined }, { taskDefinitionSummary: null }, []],
  ['a definition that is a text', { taskDefinitionSummary: 'x' }, { taskDefinitionSummary: null }, ['taskDefinitionSummary string']],
  ['a definition without its parts', { taskDefinitionSummary: {} }, { taskDefinitionSummary: null }, ['taskDefinitionSummary.id missing', 'taskDefinitionSummary.uniqueName missing']],
  ['a definition with a name', definition({ uniqueName: undefined, name: 'D' }), definition({ uniqueName: 'D' }), ['taskDefinitionSummary.uniqueName missing']],
  ['a definition with arguments that are a list', definition({ arguments: [] }), definition({ arguments: {} }), ['taskDefinitionSummary.arguments array']],
  ['a definition with an executor that is an object', definition({ executor: {}, parentName: null }), definition({ executor: null, parentName: null }), ['taskDefinitionSummary.executor object']],
  ['an unspecified field', { tenant: 'acme' }, {}, []],
];

/** The row, and what was counted of it, in order. */
function read(json: unknown) {
  const counted: string[] = [];
  const row = readRow(json, (field, found) => counted.push(`${field} ${found}`));
  return { row, counted };
}

test('a row that follows the specification counts no deviation', () => {
  const { row, counted } = read(SPECIFIED_ROW);
  assert.deepEqual(counted, []);
  assert.deepEqual(row, {
    ...SPECIFIED_ROW,
    rawType: 'QUARTZ',
    rawCompletionStatus: 'WARNING',
    percentFloor: 0,
    etag: '',
    wireBytes: 0,
    target: { ...SPECIFIED_ROW.target, rawType: 'APPLICATION' },
    created: SIX + 412,
    launched: SIX + 425,
    modified: SIX + 221_090,
    completed: SIX + 221_077,
  });
});

test('each unreadable field of an odd row gets its fallback, and is counted', () => {
  assert.ok(ODD_ROWS.length >= 80, `${ODD_ROWS.length} rows`);
  const { row: specified } = read(SPECIFIED_ROW);
  for (const [what, change, expected, counts] of ODD_ROWS) {
    const { row, counted } = read({ ...SPECIFIED_ROW, ...change });
    assert.deepEqual(row, Object.assign({}, specified, expected), what);
    assert.deepEqual(counted.toSorted(), counts.toSorted(), what);
  }
});

test('a task with the field names of load-accounts is read completely', () => {
  const { row } = read({
    id: 'a',
    name: 'Cloud Account Aggregation',
    created: SIX,
    completed: SIX + 1,
    completionStatus: 'TEMP_ERROR',
    messages: [{ key: 'k', localizedText: 'Text', error: true, warning: false }],
    returns: [{ displayLabel: 'Total', attributeName: 'total' }],
  });
  assert.ok(!(row instanceof UnreadableTask));
  assert.deepEqual(
    [row.uniqueName, row.completionStatus, row.messages[0]?.type, row.returns[0]?.name],
    ['Cloud Account Aggregation', 'TEMPERROR', 'ERROR', 'Total'],
  );
});

test('only an unreadable id or creation date makes a task unreadable, and the error names the field without its value', () => {
  const hidden = { attributes: { password: 'hunter2' } };
  for (const [change, id, reason] of [
    [{ id: undefined }, null, 'id (missing)'],
    [{ id: null }, null, 'id (null)'],
    [{ id: ' ' }, null, 'id (unreadable)'],
    [{ id: 2 ** 53 }, null, 'id (unreadable)'],
    [{ id: ['hunter2'] }, null, 'id (array)'],
    [{ created: undefined }, SPECIFIED_ROW.id, 'created (missing)'],
    [{ created: 'hunter2' }, SPECIFIED_ROW.id, 'created (unreadable)'],
    [{ created: '2026-02-31' }, SPECIFIED_ROW.id, 'created (unreadable)'],
    [{ created: 9e15 }, SPECIFIED_ROW.id, 'created (unreadable)'],
    [{ created: {}, id: false }, null, 'id (boolean), created (object)'],
  ] as const) {
    const { row } = read({ ...SPECIFIED_ROW, ...hidden, ...change });
    assert.ok(row instanceof UnreadableTask, reason);
    assert.equal(row.id, id);
    assert.equal(row.error.message, `Upstream sent a task that cannot be read: ${reason}.`);
  }
  for (const body of [null, undefined, 7, 'hunter2', [SPECIFIED_ROW]])
    assert.ok(read(body).row instanceof UnreadableTask);
});

test('keys with a meaning in JavaScript are treated as data', () => {
  const text = JSON.stringify({ ...SPECIFIED_ROW, attributes: {} }).replace(
    '"attributes":{}',
    '"attributes":{"__proto__":{"isAdmin":true},"constructor":1},"__proto__":{"launcher":"mallory"}',
  );
  const { row } = read(JSON.parse(text));
  assert.ok(!(row instanceof UnreadableTask));
  assert.equal(JSON.stringify(row.attributes), '{"__proto__":{"isAdmin":true},"constructor":1}');
  assert.equal(row.attributes['isAdmin'], undefined);
  assert.equal(row.launcher, 'System');
  assert.equal(({} as Record<string, unknown>)['isAdmin'], undefined);
});

/** A JSON value with one member, at any depth, dropped, made null, retyped, or nested. */
const anyMutation = fc.record({
  path: fc.array(fc.nat(), { minLength: 1, maxLength: 4 }),
  how: fc.oneof(
    fc.constantFrom('drop' as const, 'nest' as const, 'text' as const),
    fc.record({ become: fc.jsonValue() }),
  ),
});

function mutate(json: any, [at = 0, ...deeper]: number[], how: any): any {
  if (typeof json !== 'object' || json === null) return json;
  const copy = Array.isArray(json) ? [...json] : { ...json };
  const keys = Object.keys(copy);
  const key = keys[at % Math.max(1, keys.length)];
  if (key === undefined) return json;
  if (deeper.length > 0 && typeof copy[key] === 'object')
    copy[key] = mutate(copy[key], deeper, how);
  else if (how === 'drop') delete copy[key];
  else if (how === 'nest') copy[key] = [{ value: copy[key] }];
  else if (how === 'text') copy[key] = JSON.stringify(copy[key]);
  else copy[key] = how.become;
  return copy;
}

test('no mutation of a row makes a task unreadable if its id and creation date are readable', () => {
  const { id, created, ...others } = SPECIFIED_ROW;
  fc.assert(
    fc.property(fc.array(anyMutation, { minLength: 1, maxLength: 6 }), mutations => {
      const mutated = mutations.reduce(
        (json, { path, how }) => mutate(json, path, how),
        others as object,
      );
      const { row, counted } = read({ ...mutated, id, created });
      assert.ok(!(row instanceof UnreadableTask));
      assertWellTyped(row);
      for (const entry of counted) assert.match(entry, /^[a-zA-Z.[\]]+ [a-z ]+$/);
    }),
    { numRuns: 2_000 },
  );
});

function assertWellTyped(task: Task): void {
  const isText = (value: unknown) => typeof value === 'string';
  const isTextOrNull = (value: unknown) => value === null || isText(value);
  const isObject = (value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const { target, taskDefinitionSummary: summary } = task;
  assert.ok([task.type, task.rawType, task.uniqueName].every(isText));
  assert.ok([task.description, task.parentName, task.launcher, task.progress].every(isTextOrNull));
  for (const date of [task.modified, task.launched, task.completed])
    assert.ok(date === null || !Number.isNaN(Date.parse(new Date(date).toISOString())));
  assert.equal(task.completionStatus === null, task.rawCompletionStatus === null);
  assert.ok(Number.isInteger(task.percentComplete));
  assert.ok(task.percentComplete >= 0 && task.percentComplete <= 100);
  assert.ok(isObject(task.attributes));
  assert.ok(target === null || [target.id, target.name, target.rawType].every(isTextOrNull));
  for (const { type, key, localizedText } of task.messages) {
    assert.ok([type, key].every(isText));
    assert.ok(localizedText === null || isText(localizedText.message));
    assert.ok(localizedText === null || isTextOrNull(localizedText.locale));
  }
  for (const { name, attributeName } of task.returns)
    assert.ok([name, attributeName].every(isText));
  if (summary !== null) {
    assert.ok([summary.id, summary.uniqueName].every(isText));
    assert.ok([summary.description, summary.parentName, summary.executor].every(isTextOrNull));
    assert.ok(isObject(summary.arguments));
  }
}

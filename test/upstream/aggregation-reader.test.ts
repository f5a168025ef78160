import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type AccountAggregation,
  aggregationPercentOf,
} from '../../src/task/account-aggregation.ts';
import { readAggregation } from '../../src/upstream/aggregation-reader.ts';

const SPECIFIED = {
  start: '2026-08-20T06:00:00.425Z',
  status: 'ACCOUNTS_COLLECTED',
  totalAccounts: 500,
  processedAccounts: 150,
  totalAccountsMarkedForDeletion: 10,
  deletedAccounts: 5,
  totalIdentities: 300,
  processedIdentities: 90,
};
const READ = {
  status: 'ACCOUNTS_COLLECTED',
  rawStatus: 'ACCOUNTS_COLLECTED',
  started: Date.UTC(2026, 7, 20, 6, 0, 0, 425),
  totalAccounts: 500,
  processedAccounts: 150,
  totalAccountsMarkedForDeletion: 10,
  deletedAccounts: 5,
  totalIdentities: 300,
  processedIdentities: 90,
  percent: 30,
};
const NONE = {
  totalAccounts: null,
  processedAccounts: null,
  totalAccountsMarkedForDeletion: null,
  deletedAccounts: null,
  totalIdentities: null,
  processedIdentities: null,
  percent: null,
};
const TEXT_FIELDS = Object.keys(NONE)
  .slice(0, 6)
  .map(name => `${name} string`);

type Read = AccountAggregation & { percent: number | null };
/**
 * What upstream sends in place of the specified fields; what is read there; which fields are
 * counted.
 */
type OddStatus = [what: string, change: object, read: Partial<Read>, counted: string[]];

// oxfmt-ignore
const ODD: OddStatus[] = [
  ['what the specification has', {}, {}, []],
  ['a version without identities and deletions', { totalAccountsMarkedForDeletion: undefined, deletedAccounts: undefined, totalIdentities: undefined, processedIdentities: undefined }, { ...NONE, totalAccounts: 500, processedAccounts: 150, percent: 30 }, []],
  ['no status', { status: undefined }, { status: 'UNKNOWN', rawStatus: '' }, ['status missing']],
  ['a status of null', { status: null }, { status: 'UNKNOWN', rawStatus: '' }, ['status null']],
  ['a blank status', { status: '' }, { status: 'UNKNOWN', rawStatus: '' }, ['status blank']],
  ['a new status', { status: 'PAUSED' }, { status: 'UNKNOWN', rawStatus: 'PAUSED' }, ['status unknown value']],
  ['a status in other words', { status: 'Accounts collected' }, { rawStatus: 'Accounts collected' }, []],
  ['a status that is an object', { status: {} }, { status: 'UNKNOWN', rawStatus: '' }, ['status object']],
  ['counts of 0 before the accounts are collected', { status: 'STARTED', totalAccounts: 0, processedAccounts: 0 }, { ...NONE, status: 'STARTED', rawStatus: 'STARTED' }, []],
  ['counts before the accounts are collected', { status: 'STARTED' }, { ...NONE, status: 'STARTED', rawStatus: 'STARTED' }, []],
  ['NOT_FOUND', { status: 'NOT_FOUND', start: null }, { ...NONE, status: 'NOT_FOUND', rawStatus: 'NOT_FOUND', started: null }, []],
  ['no start', { start: undefined }, { started: null }, []],
  ['a start of null', { start: null }, { started: null }, []],
  ['a start of epoch milliseconds', { start: READ.started }, {}, []],
  ['a start that is no date', { start: 'never' }, { started: null }, ['start unreadable']],
  ['counts that are null', { totalAccounts: null, processedAccounts: null, totalIdentities: null, processedIdentities: null }, { totalAccounts: null, processedAccounts: null, totalIdentities: null, processedIdentities: null, percent: null }, []],
  ['counts that are texts', { totalAccounts: '500', processedAccounts: '150', totalAccountsMarkedForDeletion: '10', deletedAccounts: '5', totalIdentities: '300', processedIdentities: '90' }, {}, TEXT_FIELDS],
  ['counts that are words', { totalAccounts: 'many', processedAccounts: '' }, { totalAccounts: null, processedAccounts: null, percent: 30 }, ['totalAccounts string', 'processedAccounts string']],
  ['a negative count', { processedAccounts: -1 }, { processedAccounts: null, percent: 11 }, ['processedAccounts out of range']],
  ['a negative total', { totalAccounts: -1, totalIdentities: -1 }, { totalAccounts: null, totalIdentities: null, percent: null }, ['totalAccounts out of range', 'totalIdentities out of range']],
  ['a count that is longer than an Int', { totalAccounts: 2 ** 31 }, { totalAccounts: null, percent: 30 }, ['totalAccounts out of range']],
  ['a count that is a fraction', { processedAccounts: 150.9 }, {}, ['processedAccounts fraction']],
  ['a count that is an object', { processedAccounts: {} }, { processedAccounts: null, percent: 11 }, ['processedAccounts object']],
  ['nothing to process while it runs', { totalAccounts: 0, processedAccounts: 0, totalIdentities: 0, processedIdentities: 0 }, { totalAccounts: 0, processedAccounts: 0, totalIdentities: 0, processedIdentities: 0, percent: null }, []],
  ['nothing to process at the end', { status: 'COMPLETED', totalAccounts: 0, processedAccounts: 0, totalIdentities: 0, processedIdentities: 0 }, { status: 'COMPLETED', rawStatus: 'COMPLETED', totalAccounts: 0, processedAccounts: 0, totalIdentities: 0, processedIdentities: 0, percent: 100 }, []],
  ['more processed than there is', { processedAccounts: 900 }, { processedAccounts: 900, percent: 73 }, []],
  ['processed accounts without a total', { totalAccounts: null }, { totalAccounts: null, percent: 30 }, []],
  ['a share just below a whole percent', { totalAccounts: 1000, processedAccounts: 999, totalIdentities: null, processedIdentities: null }, { totalAccounts: 1000, processedAccounts: 999, totalIdentities: null, processedIdentities: null, percent: 99 }, []],
];

for (const [what, change, expected, counted] of ODD)
  test(`${what} is read with its fallbacks`, () => {
    const fallbacks: string[] = [];
    const read = readAggregation({ ...SPECIFIED, ...change }, (field, found) =>
      fallbacks.push(`${field} ${found}`),
    );
    assert.deepEqual({ ...read, percent: aggregationPercentOf(read) }, { ...READ, ...expected });
    assert.deepEqual(
      fallbacks.toSorted(),
      counted.map(name => `accountAggregation.${name}`).toSorted(),
    );
  });

for (const json of [null, 'COMPLETED', 42, [SPECIFIED]])
  test(`${JSON.stringify(json).slice(0, 12)} is not the status of an aggregation`, () => {
    assert.throws(() => readAggregation(json), { code: 'UPSTREAM_INVALID_RESPONSE' });
  });

test('whatever upstream sends, counts are whole numbers or null, and the percentage is 0–100 and no more than was processed', () => {
  const anyCount = fc.oneof(
    fc.integer(),
    fc.nat({ max: 1_000 }),
    fc.double(),
    fc.nat({ max: 1_000 }).map(String),
    fc.jsonValue(),
    fc.constant(undefined),
  );
  const anyStatus = fc.oneof(
    fc.constantFrom('STARTED', 'ACCOUNTS_COLLECTED', 'COMPLETED', 'CANCELLED', 'RETRIED'),
    fc.jsonValue(),
  );
  const change = fc.record(
    {
      status: anyStatus,
      start: fc.jsonValue(),
      totalAccounts: anyCount,
      processedAccounts: anyCount,
      totalAccountsMarkedForDeletion: anyCount,
      deletedAccounts: anyCount,
      totalIdentities: anyCount,
      processedIdentities: anyCount,
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(change, given => {
      const read = readAggregation({ ...SPECIFIED, ...given });
      const { status: _, rawStatus, started, ...counts } = read;
      assert.equal(typeof rawStatus, 'string');
      assert.ok(started === null || new Date(started).getTime() === started);
      for (const count of Object.values(counts))
        assert.ok(count === null || (Number.isInteger(count) && count >= 0 && count < 2 ** 31));
      const percent = aggregationPercentOf(read);
      if (percent === null) return;
      assert.ok(Number.isInteger(percent) && percent >= 0 && percent <= 100);
      const total = (read.totalAccounts ?? 0) + (read.totalIdentities ?? 0);
      const processed = (read.processedAccounts ?? 0) + (read.processedIdentities ?? 0);
      assert.ok(percent * total <= 100 * processed || total === 0, `${percent} %`);
    }),
    { numRuns: 2_000 },
  );
});

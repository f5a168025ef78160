import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matches, parseFilter } from '../../src/sandbox/filter.ts';
import { VERSIONS } from '../../src/sandbox/versions.ts';

const rulesOf = (name: string) => VERSIONS.find(({ version }) => version === name)!;
const TASK: Record<string, string | null> = {
  id: 'a1',
  sourceId: 's1',
  type: 'CLOUD_GROUP_AGGREGATION',
  launcher: 'ada "the" \\admin',
  completionStatus: 'ERROR',
};

function holds(filter: string, task = TASK): boolean {
  return matches(parseFilter(filter, rulesOf('v1')), field => task[field] ?? null);
}

test('filters are parsed as the documentation of the collection parameters specifies', () => {
  for (const filter of [
    'id eq "a1"',
    'id eq"a1"',
    'id in("b","a1")',
    'id in ( "b" , "a1" )',
    'completionStatus eq "Error"',
    'not completionStatus isnull',
    'not(completionStatus isnull)',
    'id eq "x" or id eq "a1" and sourceId eq "s1"',
    '(id eq "x" or id eq "a1") and not sourceId eq "s2"',
    'not id eq "x" and not id eq "y"',
    'launcher eq "ADA \\"the\\" \\\\admin"',
    'type in ("CLOUD_GROUP_AGGREGATION")',
  ])
    assert.ok(holds(filter), filter);
  for (const filter of [
    'id eq "x" and id eq "a1" or sourceId eq "s2"',
    'completionStatus isnull',
    'not (id eq "a1" or id eq "x")',
  ])
    assert.ok(!holds(filter), filter);
});

test('not binds tighter than and, and tighter than or', () => {
  assert.ok(holds('not id eq "a1" or id eq "a1"'));
  assert.ok(!holds('not id eq "a1" and id eq "a1"'));
});

test('invalid filters get a 400', () => {
  for (const filter of [
    'id',
    'id eq',
    'id eq a1',
    'id EQ "a1"',
    'id eq "a1',
    'id eq "a1" and',
    '(id eq "a1"',
    'id eq "a1")',
    'id in ()',
    'id in "a"',
    'id eq "a\\n"',
    'id eq "a" id eq "b"',
    'pr id',
    ';',
    '('.repeat(9_999),
  ])
    assert.throws(() => holds(filter), { status: 400 }, filter);
});

test('each version rejects what it does not support', () => {
  const refused = (version: string, filter: string) =>
    assert.throws(
      () => parseFilter(filter, rulesOf(version)),
      { status: 400, detailCode: '400.1.3 Illegal value' },
      `${version}: ${filter}`,
    );
  for (const version of ['beta', 'v2024']) refused(version, 'completionStatus isnull');
  for (const version of ['beta', 'v2024', 'v2025']) refused(version, 'launcher eq "System"');
  refused('v2025', 'type eq "IDENTITY_REFRESH"');
  for (const { version } of VERSIONS) {
    refused(version, 'type eq "QUARTZ"');
    refused(version, 'created eq "x"');
    refused(version, 'id co "x"');
    refused(version, 'completionStatus eq "UNKNOWN"');
  }
});

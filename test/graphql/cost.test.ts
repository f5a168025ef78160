import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ExecutionArgs, parse } from 'graphql';
import { type CostLimits, createCostCheck } from '../../src/graphql/cost.ts';
import { schema } from '../../src/graphql/schema.ts';

const LIMITS: CostLimits = { complexity: 300, depth: 6, upstreamRequests: 3, idsPerRequest: 10 };

const DOCUMENTS = [
  'query ($first: Int = 5, $after: String) { taskStatuses(first: $first, after: $after) { nodes { id } } }',
  'query ($first: Int, $more: Boolean!) { taskStatuses(first: $first) { nodes { id ...More @include(if: $more) } } } fragment More on TaskStatus { type uniqueName description }',
  'query ($some: [_Any!]!, $id: ID!) { _entities(representations: $some) { ... on TaskStatus { id } } taskStatus(id: $id) { id } }',
  'query A($first: Int) { taskStatuses(first: $first) { nodes { id } } } query B($first: Int) { taskStatuses(first: $first) { edges { cursor node { id state } } } }',
  'query ($__proto__: Int, $toString: Int) { a: taskStatuses(first: $__proto__) { nodes { id } } b: taskStatuses(first: $toString) { nodes { id } } }',
  'query ($constructor: Int = 250) { taskStatuses(first: $constructor) { nodes { id type launcher } } }',
  'query ($filter: TaskStatusFilter) { taskStatusCounts(filter: $filter) { total success error warning } }',
  'query ($skip: Boolean = true) { taskStatuses(first: 250) { nodes @skip(if: $skip) { id type launcher } } }',
].map(text => parse(text));

const value = fc.oneof(
  fc.constantFrom<unknown>(null, 0, 1, 250, 251, -1, 2 ** 31, '250', true, false, 1.5),
  fc.constantFrom<unknown>({ created: { gte: '2026-01-01T00:00:00Z' } }, { created: {} }, {}),
  fc
    .integer({ min: 0, max: 60 })
    .map(length => Array.from({ length }, () => ({ __typename: 'TaskStatus', id: 'a' }))),
);
const names = [
  'first',
  'after',
  'more',
  'some',
  'id',
  '__proto__',
  'toString',
  'filter',
  'skip',
  'constructor',
];
const operation = fc.record({
  document: fc.constantFrom(...DOCUMENTS),
  operationName: fc.constantFrom('A', 'B', undefined),
  // As JSON.parse makes them: `__proto__` is a member like any other.
  variableValues: fc
    .array(fc.tuple(fc.constantFrom(...names), value), { maxLength: 5 })
    .map(pairs => Object.fromEntries(pairs)),
});

test('what is remembered of the costs of earlier operations changes no refusal', () => {
  fc.assert(
    fc.property(fc.array(operation, { minLength: 10, maxLength: 60 }), operations => {
      const check = createCostCheck(LIMITS);
      for (const one of operations) {
        const args = { ...one, schema } as ExecutionArgs;
        const refused = refusalOf(check, args);
        const expected = refusalOf(createCostCheck(LIMITS), args);
        assert.equal(refused, expected);
      }
    }),
    { numRuns: 150 },
  );
});

function refusalOf(check: (args: ExecutionArgs) => void, args: ExecutionArgs): string | null {
  try {
    check(args);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

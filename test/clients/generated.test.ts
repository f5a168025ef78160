import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { generateTypes } from '../../examples/clients/generate.ts';
import type {
  TaskQuery,
  TaskStatusFilter,
  WholeTaskQuery,
} from '../../examples/clients/generated/graphql.ts';
import type { TaskFilter } from '../../examples/clients/urql.ts';
import { type ResultOf, graphql } from '../../examples/clients/tada.ts';

const DATES = graphql(`
  query Dates {
    taskStatus(id: "1") {
      created
      completed
      attributes
    }
  }
`);

/** Is `true` only if the types are the same. */
type IsSame<One, Other> =
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- they are compared
  (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false;
type CodegenTask = NonNullable<WholeTaskQuery['taskStatus']>;
type TadaTask = NonNullable<ResultOf<typeof DATES>['taskStatus']>;

test('the generated types of the examples belong to schema.graphql and their operations', async () => {
  for (const [path, content] of await generateTypes())
    assert.equal(readFileSync(path, 'utf8'), content, 'Run npm run schema.');
});

// Checked by the compiler: what follows a @ts-expect-error has to be an error.
test('codegen and gql.tada map scalars, and take exactly one field of a @oneOf input', () => {
  const same: true[] = [
    true satisfies IsSame<CodegenTask['created'], string>,
    true satisfies IsSame<CodegenTask['completed'], string | null>,
    true satisfies IsSame<CodegenTask['attributes'], unknown>,
    true satisfies IsSame<TadaTask['created'], string>,
    true satisfies IsSame<TadaTask['completed'], string | null>,
    true satisfies IsSame<TadaTask['attributes'], unknown>,
    true satisfies IsSame<NonNullable<TaskQuery['taskStatus']>['id'], string>,
  ];
  assert.equal(same.length, 7);

  const codegen: TaskStatusFilter[] = [
    { id: { eq: '1' } },
    { completionStatus: { in: ['ERROR', 'WARNING'] }, created: { gte: '2026-08-20T00:00:00Z' } },
    // @ts-expect-error -- two fields
    { completionStatus: { eq: 'ERROR', isNull: false } },
    // @ts-expect-error -- none
    { id: {} },
    // @ts-expect-error -- a value that the schema does not have
    { completionStatus: { eq: 'FAILED' } },
  ];
  const tada: TaskFilter[] = [
    { id: { eq: '1' } },
    { completionStatus: { in: ['ERROR', 'WARNING'] }, created: { gte: '2026-08-20T00:00:00Z' } },
    // @ts-expect-error -- two fields
    { completionStatus: { eq: 'ERROR', isNull: false } },
    // @ts-expect-error -- none
    { id: {} },
    // @ts-expect-error -- a value that the schema does not have
    { completionStatus: { eq: 'FAILED' } },
  ];
  assert.equal(codegen.length, tada.length);
});

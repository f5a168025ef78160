import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type FieldDefinitionNode,
  Kind,
  type SelectionSetNode,
  type TypeNode,
  parse,
  valueFromASTUntyped,
} from 'graphql';
import { GatewayError } from '../../src/errors.ts';
import { createCostCheck } from '../../src/graphql/cost.ts';
import { schema } from '../../src/graphql/schema.ts';
import { printSubgraphSdl } from '../../src/graphql/sdl.ts';

const UNLIMITED = { depth: 1_000, upstreamRequests: 1_000_000, idsPerRequest: 90 };

/** What the gateway says that an operation costs. */
function costOf(document: string): number {
  try {
    createCostCheck({ ...UNLIMITED, complexity: 0 })({ schema, document: parse(document) });
  } catch (error) {
    assert.ok(error instanceof GatewayError);
    return Number(/costs (\d+)/.exec(error.message)?.[1]);
  }
  return 0;
}

const fields = new Map<string, FieldDefinitionNode>();
const leaves = new Set(['ID', 'Int', 'Float', 'String', 'Boolean']);
for (const definition of parse(printSubgraphSdl(schema, '2.9')).definitions)
  if (definition.kind === Kind.OBJECT_TYPE_DEFINITION)
    for (const field of definition.fields ?? [])
      fields.set(`${definition.name.value}.${field.name.value}`, field);
  else if ('name' in definition && definition.name) leaves.add(definition.name.value);

/**
 * What a router makes of the SDL, as the cost specification says: 1 for an object, 0 for a leaf, or
 * `@cost`.
 */
function estimate(type: string, { selections }: SelectionSetNode, sizes: Sizes = {}): number {
  return selections.reduce((sum, selection) => {
    assert.equal(selection.kind, Kind.FIELD);
    const { name, arguments: given, selectionSet } = selection;
    const field = fields.get(`${type}.${name.value}`);
    assert.ok(field, `${type}.${name.value}`);
    const named = nameOf(field.type);
    const { weight = leaves.has(named) ? 0 : 1 } = argumentsOf(field, 'cost');
    const {
      assumedSize = 1,
      slicingArguments = [],
      sizedFields = [],
    } = argumentsOf(field, 'listSize');
    const lengths = slicingArguments.map((slicing: string) => {
      const value =
        given?.find(argument => argument.name.value === slicing)?.value ??
        field.arguments?.find(argument => argument.name.value === slicing)?.defaultValue;
      return value && valueFromASTUntyped(value);
    });
    const below = Object.fromEntries(sizedFields.map((sized: string) => [sized, lengths[0]]));
    const size = sizes[name.value] ?? assumedSize;
    return sum + size * (weight + (selectionSet ? estimate(named, selectionSet, below) : 0));
  }, 0);
}

type Sizes = Record<string, number>;

function argumentsOf(field: FieldDefinitionNode, name: string): any {
  const directive = field.directives?.find(directive => directive.name.value === name);
  return Object.fromEntries(
    directive?.arguments?.map(({ name, value }) => [name.value, valueFromASTUntyped(value)]) ?? [],
  );
}

function nameOf(type: TypeNode): string {
  return type.kind === Kind.NAMED_TYPE ? type.name.value : nameOf(type.type);
}

test('a router estimates an operation by the numbers with which the gateway limits it', () => {
  const leaf = fc.constantFrom(
    'id',
    'state',
    'created',
    'attributes',
    'taskDefinitionSummary { id }',
  );
  const task = fc.uniqueArray(leaf, { minLength: 1 }).map(names => names.join(' '));
  const first = fc.option(fc.integer({ min: 1, max: 250 }), { nil: undefined });
  const list = fc
    .tuple(first, task)
    .map(
      ([first, task]) =>
        `${first === undefined ? '' : `(first: ${first})`} { nodes { ${task} target { source { latestTask { ${task} } } } } }`,
    );
  fc.assert(
    fc.property(list, list, task, (list, sourceList, task) => {
      const document = `{
        taskStatus(id: "1") { ${task} }
        taskStatuses ${list}
        taskStatusCounts { total running }
        deep: taskStatuses { nodes { target { source { id tasks ${sourceList} } } } }
      }`;
      const operation = parse(document).definitions[0];
      assert.ok(operation?.kind === Kind.OPERATION_DEFINITION);
      assert.equal(estimate('Query', operation.selectionSet), costOf(document));
    }),
  );
});

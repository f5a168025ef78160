import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLAbstractType,
  type GraphQLField,
  type GraphQLFieldResolver,
  type GraphQLLeafType,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLSchema,
  Kind,
  type OperationDefinitionNode,
  OperationTypeNode,
  TypeNameMetaFieldDef,
  defaultFieldResolver,
  getArgumentValues,
  isAbstractType,
  isLeafType,
  isListType,
  isNonNullType,
} from 'graphql';
import { collectFields, collectSubFields } from '@graphql-tools/utils';
import { serializerOf } from './serializer.ts';

type Variables = Readonly<Record<string, unknown>>;

/** How a value is completed, derived from its type and selection in advance. */
export type Shape = { isNonNull: boolean } & (
  | { kind: 'leaf'; type: GraphQLLeafType; serialize: (value: unknown) => unknown }
  | { kind: 'list'; item: Shape }
  | { kind: 'object'; type: GraphQLObjectType; fields: Fields }
  | { kind: 'abstract'; type: GraphQLAbstractType; fields: ReadonlyMap<GraphQLObjectType, Fields> }
);

/** The selected fields of an object, in the order of the response. */
export interface Fields {
  plans: readonly FieldPlan[];
  /** Whether a response key is `__proto__`, which only an object without a prototype can hold. */
  needsNoPrototype: boolean;
}

/** One field of the response. */
export interface FieldPlan {
  /** The name in the response. */
  key: string;
  parentType: GraphQLObjectType;
  definition: GraphQLField<unknown, unknown>;
  nodes: FieldNode[];
  /** The value of `__typename`; null for other fields. */
  typename: string | null;
  /** Null: the property of the source with the field's name. */
  resolve: GraphQLFieldResolver<unknown, unknown> | null;
  /** Throws if a value of an argument is missing or invalid. */
  argumentsFor(variables: Variables): Record<string, unknown>;
  shape: Shape;
}

/** An operation, prepared for repeated execution. */
export interface Plan {
  operation: OperationDefinitionNode;
  fragments: Record<string, FragmentDefinitionNode>;
  root: Fields;
  /** The number of fields, including those for each possible type of an object. */
  size: number;
}

/**
 * Plans an operation. The plan is valid for all variables with the same values of its `@skip` and
 * `@include` conditions. Null for mutations and introspection.
 */
export function createPlan(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Variables,
): Plan | null {
  const rootType =
    operation.operation === OperationTypeNode.MUTATION
      ? null
      : schema.getRootType(operation.operation);
  if (!rootType) return null;
  const fragments = fragmentsOf(document);
  // The library may change the variables.
  const conditions = { ...variables };
  const collected = collectFields(
    schema,
    fragments,
    conditions,
    rootType,
    operation.selectionSet,
  ).fields;
  for (const [node] of collected.values()) if (isIntrospection(node)) return null;
  let size = 0;
  const root = planFields(rootType, collected);
  return { operation, fragments, root, size: Math.max(1, size) };

  function planFields(type: GraphQLObjectType, nodesByKey: Map<string, FieldNode[]>): Fields {
    const plans = [...nodesByKey].flatMap(([key, nodes]) => planField(type, key, nodes) ?? []);
    return { plans, needsNoPrototype: nodesByKey.has('__proto__') };
  }

  function planField(
    parentType: GraphQLObjectType,
    key: string,
    nodes: FieldNode[],
  ): FieldPlan | null {
    const name = nodes[0]?.name.value ?? '';
    const definition =
      name === TypeNameMetaFieldDef.name ? TypeNameMetaFieldDef : parentType.getFields()[name];
    if (!definition) return null;
    size++;
    const { resolve = defaultFieldResolver } = definition;
    return {
      key,
      parentType,
      definition,
      nodes,
      typename: definition === TypeNameMetaFieldDef ? parentType.name : null,
      resolve: resolve === defaultFieldResolver ? null : resolve,
      argumentsFor: planArguments(definition, nodes),
      shape: shapeOf(definition.type, nodes),
    };
  }

  function shapeOf(type: GraphQLOutputType, nodes: FieldNode[]): Shape {
    const isNonNull = isNonNullType(type);
    const bare = isNonNull ? type.ofType : type;
    if (isListType(bare)) return { isNonNull, kind: 'list', item: shapeOf(bare.ofType, nodes) };
    if (isLeafType(bare))
      return { isNonNull, kind: 'leaf', type: bare, serialize: serializerOf(bare) };
    if (!isAbstractType(bare))
      return { isNonNull, kind: 'object', type: bare, fields: fieldsBelow(bare, nodes) };
    const types = schema.getPossibleTypes(bare);
    const fields = new Map(types.map(possible => [possible, fieldsBelow(possible, nodes)]));
    return { isNonNull, kind: 'abstract', type: bare, fields };
  }

  function fieldsBelow(type: GraphQLObjectType, nodes: FieldNode[]): Fields {
    return planFields(type, collectSubFields(schema, fragments, conditions, type, nodes).fields);
  }
}

/** How an argument that is a variable is given its value. */
interface VariableArgument {
  name: string;
  variable: string;
}

/**
 * Prepares arguments, so that those of the usual kinds are given their values without visiting the
 * document.
 */
function planArguments(
  definition: GraphQLField<unknown, unknown>,
  nodes: readonly FieldNode[],
): FieldPlan['argumentsFor'] {
  const node = nodes[0];
  if (node === undefined || definition.args.length === 0) return () => ({});
  const byVariable = variableArguments(definition, node);
  return variables => {
    if (byVariable === null) return getArgumentValues(definition, node, variables);
    const values: Record<string, unknown> = {};
    for (const { name, variable } of byVariable) {
      const value = Object.hasOwn(variables, variable) ? variables[variable] : null;
      // The argument may have a default, or must not be null.
      if (value === undefined || value === null)
        return getArgumentValues(definition, node, variables);
      values[name] = value;
    }
    return values;
  };
}

/** The arguments of a field if all of them are given by variables; otherwise null. */
function variableArguments(
  { args }: GraphQLField<unknown, unknown>,
  { arguments: given = [] }: FieldNode,
): VariableArgument[] | null {
  const byVariable = args.map(({ name }) => {
    const value = given.find(argument => argument.name.value === name)?.value;
    return value?.kind === Kind.VARIABLE ? { name, variable: value.name.value } : null;
  });
  return byVariable.every(argument => argument !== null) ? byVariable : null;
}

function fragmentsOf({ definitions }: DocumentNode): Record<string, FragmentDefinitionNode> {
  const fragments = definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION);
  return Object.fromEntries(
    (fragments as FragmentDefinitionNode[]).map(fragment => [fragment.name.value, fragment]),
  );
}

function isIntrospection(node: FieldNode | undefined): boolean {
  return node?.name.value === '__schema' || node?.name.value === '__type';
}

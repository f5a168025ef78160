import {
  GraphQLError,
  type GraphQLObjectType,
  type GraphQLResolveInfo,
  type GraphQLSchema,
  defaultTypeResolver,
  isObjectType,
  locatedError,
} from 'graphql';
import type { ErrorList, Path } from './error-list.ts';
import type { FieldPlan, Fields, Plan, Shape } from './plan.ts';

/** The context of one execution of a plan. */
export interface Execution {
  plan: Plan;
  schema: GraphQLSchema;
  rootValue: unknown;
  context: unknown;
  variables: GraphQLResolveInfo['variableValues'];
  /** Throws when the client has disconnected. Values that arrive later are not completed. */
  signal: Pick<AbortSignal, 'throwIfAborted'> | undefined;
  errors: ErrorList;
}

/**
 * The fields of an object, or a promise of them. Follows the execution algorithms of the GraphQL
 * specification as graphql-js implements them. Everything that does not depend on values was done
 * when the plan was made.
 */
export function executeFields(
  execution: Execution,
  { plans, needsNoPrototype }: Fields,
  source: unknown,
  path: Path | undefined,
): unknown {
  const data: Record<string, unknown> = needsNoPrototype ? Object.create(null) : {};
  let pending: Promise<void>[] | undefined;
  try {
    for (const field of plans) {
      const value = executeField(execution, field, source, path);
      // The promise keeps the field's position in the response until it is settled.
      data[field.key] = value;
      if (value instanceof Promise)
        (pending ??= []).push(
          value.then((settled: unknown) => {
            data[field.key] = settled;
          }),
        );
    }
  } catch (error) {
    return throwAfter(pending ?? [], error);
  }
  return pending === undefined ? data : Promise.all(pending).then(() => data);
}

function executeField(
  execution: Execution,
  field: FieldPlan,
  source: unknown,
  parentPath: Path | undefined,
): unknown {
  const { shape, typename } = field;
  if (typename !== null) return typename;
  // Few paths of leaves are ever needed; those of the others are what the paths below refer to.
  let path = shape.kind === 'leaf' ? undefined : pathOf(field, parentPath);
  try {
    const value = resolveField(execution, field, source, path, parentPath);
    if (shape.kind === 'leaf' && !isThenable(value)) return completeLeaf(field, shape, value);
    path ??= pathOf(field, parentPath);
    return completeOrWait(execution, field, shape, path, value);
  } catch (error) {
    return failAt(execution, field, shape, path ?? pathOf(field, parentPath), error);
  }
}

function resolveField(
  execution: Execution,
  field: FieldPlan,
  source: unknown,
  path: Path | undefined,
  parentPath: Path | undefined,
): unknown {
  const { resolve, definition } = field;
  const property = resolve === null ? propertyOf(source, definition.name) : undefined;
  if (resolve === null && typeof property !== 'function') return property;
  const args = field.argumentsFor(execution.variables);
  const info = infoOf(execution, field, path ?? pathOf(field, parentPath));
  if (resolve !== null) return resolve(source, args, execution.context, info);
  return (source as Record<string, Method>)[definition.name]?.(args, execution.context, info);
}

type Method = (args: unknown, context: unknown, info: GraphQLResolveInfo) => unknown;

function propertyOf(source: unknown, name: string): unknown {
  const hasProperties =
    (typeof source === 'object' && source !== null) || typeof source === 'function';
  return hasProperties ? (source as Record<string, unknown>)[name] : undefined;
}

/** Completes a value, or a promise of one when it is settled. Throws synchronous errors. */
function completeOrWait(
  execution: Execution,
  field: FieldPlan,
  shape: Shape,
  path: Path,
  value: unknown,
): unknown {
  if (!isThenable(value)) {
    const completed = complete(execution, field, shape, path, value);
    return completed instanceof Promise ? completed.catch(fail) : completed;
  }
  return Promise.resolve(value).then(settled => {
    execution.signal?.throwIfAborted();
    try {
      const completed = complete(execution, field, shape, path, settled);
      return completed instanceof Promise ? completed.catch(fail) : completed;
    } catch (error) {
      return fail(error);
    }
  }, fail);

  function fail(error: unknown): null {
    return failAt(execution, field, shape, path, error);
  }
}

function complete(
  execution: Execution,
  field: FieldPlan,
  shape: Shape,
  path: Path,
  value: unknown,
): unknown {
  if (shape.kind === 'leaf') return completeLeaf(field, shape, value);
  if (value instanceof Error) throw value;
  if (value === null || value === undefined) return nullFor(field, shape);
  if (shape.kind === 'list') return completeList(execution, field, shape.item, path, value);
  if (shape.kind === 'object')
    return completeObject(execution, field, shape.type, shape.fields, path, value);
  const { type } = shape;
  const info = infoOf(execution, field, path);
  const runtime = (type.resolveType ?? defaultTypeResolver)(value, execution.context, info, type);
  const completeAs = (name: unknown) => {
    const [runtimeType, fields] = fieldsFor(execution, field, shape, name);
    return completeObject(execution, field, runtimeType, fields, path, value);
  };
  return isThenable(runtime) ? Promise.resolve(runtime).then(completeAs) : completeAs(runtime);
}

function completeLeaf(
  field: FieldPlan,
  shape: Extract<Shape, { kind: 'leaf' }>,
  value: unknown,
): unknown {
  if (value === null || value === undefined) return nullFor(field, shape);
  if (value instanceof Error) throw value;
  const serialized = shape.serialize(value);
  if (serialized !== null && serialized !== undefined) return serialized;
  throw new Error(`\`${shape.type.name}.serialize\` returned ${String(serialized)} for a value.`);
}

function nullFor({ parentType, definition }: FieldPlan, { isNonNull }: Shape): null {
  if (!isNonNull) return null;
  throw new Error(
    `Cannot return null for non-nullable field ${parentType.name}.${definition.name}.`,
  );
}

function completeList(
  execution: Execution,
  field: FieldPlan,
  shape: Shape,
  path: Path,
  list: unknown,
): unknown {
  if (
    typeof list !== 'object' ||
    typeof (list as Iterable<unknown>)[Symbol.iterator] !== 'function'
  )
    throw new GraphQLError(
      `Expected Iterable, but did not find one for field "${field.parentType.name}.${field.definition.name}".`,
    );
  const pending: Promise<unknown>[] = [];
  try {
    const completed = Array.from(list as Iterable<unknown>, (value, key) => {
      const item = completeItem(
        execution,
        field,
        shape,
        { prev: path, key, typename: undefined },
        value,
      );
      if (item instanceof Promise) pending.push(item);
      return item;
    });
    return pending.length > 0 ? Promise.all(completed) : completed;
  } catch (error) {
    return throwAfter(pending, error);
  }
}

function completeItem(
  execution: Execution,
  field: FieldPlan,
  shape: Shape,
  path: Path,
  value: unknown,
): unknown {
  try {
    return completeOrWait(execution, field, shape, path, value);
  } catch (error) {
    return failAt(execution, field, shape, path, error);
  }
}

/** Throws the error after these are settled, so that none becomes an unhandled rejection. */
function throwAfter(pending: readonly Promise<unknown>[], error: unknown): Promise<never> {
  if (pending.length === 0) throw error;
  return Promise.allSettled(pending).then(() => {
    throw error;
  });
}

function completeObject(
  execution: Execution,
  field: FieldPlan,
  type: GraphQLObjectType,
  fields: Fields,
  path: Path,
  value: unknown,
): unknown {
  if (!type.isTypeOf) return executeFields(execution, fields, value, path);
  const isOfType = type.isTypeOf(value, execution.context, infoOf(execution, field, path));
  const executeIf = (isTrue: boolean) => {
    if (isTrue) return executeFields(execution, fields, value, path);
    throw new GraphQLError(`A value is not of the type "${type.name}".`, { nodes: field.nodes });
  };
  return isThenable(isOfType) ? Promise.resolve(isOfType).then(executeIf) : executeIf(isOfType);
}

/** The concrete type of a value of an abstract type, and the selection for it. */
function fieldsFor(
  { schema }: Execution,
  { nodes, parentType, definition }: FieldPlan,
  { type, fields }: Extract<Shape, { kind: 'abstract' }>,
  name: unknown,
): [GraphQLObjectType, Fields] {
  const runtimeType = typeof name === 'string' ? schema.getType(name) : undefined;
  const planned = isObjectType(runtimeType) ? fields.get(runtimeType) : undefined;
  if (planned !== undefined) return [runtimeType as GraphQLObjectType, planned];
  throw new GraphQLError(
    `Abstract type "${type.name}" was resolved to ${JSON.stringify(name)} for field "${parentType.name}.${definition.name}", which is none of its types.`,
    { nodes },
  );
}

/**
 * Reports an error if the value is nullable; otherwise throws it, so that the parent value handles
 * it.
 */
function failAt(
  { errors }: Execution,
  { nodes }: FieldPlan,
  { isNonNull }: Shape,
  path: Path,
  error: unknown,
): null {
  const located = locatedError(error, nodes, toArray(path));
  if (isNonNull) throw located;
  errors.add(located, path);
  return null;
}

function pathOf({ key, parentType }: FieldPlan, prev: Path | undefined): Path {
  return { prev, key, typename: parentType.name };
}

function toArray(path: Path): (string | number)[] {
  const keys: (string | number)[] = [];
  for (let place: Path | undefined = path; place !== undefined; place = place.prev)
    keys.push(place.key);
  return keys.toReversed();
}

function infoOf(execution: Execution, field: FieldPlan, path: Path): GraphQLResolveInfo {
  const { plan, schema, rootValue, variables } = execution;
  const info: Partial<GraphQLResolveInfo> = {
    fieldName: field.definition.name,
    fieldNodes: field.nodes,
    returnType: field.definition.type,
    parentType: field.parentType,
    path,
    schema,
    fragments: plan.fragments,
    rootValue,
    operation: plan.operation,
    variableValues: variables,
  };
  // A library that comes with Yoga declares members that graphql-js does not give either.
  return info as GraphQLResolveInfo;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Partial<PromiseLike<unknown>>).then === 'function'
  );
}

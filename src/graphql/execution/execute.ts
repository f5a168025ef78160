import {
  type ExecutionArgs,
  type ExecutionResult,
  Kind,
  type OperationDefinitionNode,
  getOperationAST,
  locatedError,
  visit,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import { ErrorList } from './error-list.ts';
import { type Execution, executeFields } from './execution.ts';
import { type Plan, createPlan } from './plan.ts';
import { coerceVariables } from './variables.ts';

/**
 * Executes an operation as graphql-js's `execute` does. Null if it cannot be planned: mutations,
 * whose fields run in series, introspection, and operations that are refused before a field is
 * resolved. Rejects with the reason of `signal` when that aborts.
 */
export type ExecutePlanned = (
  args: ExecutionArgs & { signal?: Execution['signal'] },
) => ExecutionResult | Promise<ExecutionResult> | null;

/** What is known of an operation before its variables. */
interface KnownOperation {
  id: number;
  /** Names of the variables that `@skip` and `@include` depend on. */
  conditions: readonly string[];
}

// The maximum number of fields of all cached plans, and of one. A field takes about 600 bytes.
const MAX_FIELDS = 50_000;
const MAX_FIELDS_OF_PLAN = 5_000;

/** Executes queries and subscription events with plans, which are made once and cached. */
export function createExecutePlanned(): ExecutePlanned {
  const known = new WeakMap<OperationDefinitionNode, KnownOperation>();
  let lastId = 0;
  const plans = new LRUCache<string, Plan>({
    maxSize: MAX_FIELDS,
    maxEntrySize: MAX_FIELDS_OF_PLAN,
    sizeCalculation: ({ size }) => size,
  });

  return args => {
    const { document, schema, operationName, rootValue, contextValue, signal } = args;
    const operation = getOperationAST(document, operationName);
    const variables = operation && coerceVariables(args, operation);
    const plan = variables ? planFor(args, operation, variables) : null;
    if (!variables || !plan) return null;
    signal?.throwIfAborted();
    return run({
      plan,
      schema,
      rootValue,
      context: contextValue,
      variables,
      signal,
      errors: new ErrorList(),
    });
  };

  function planFor(
    { schema, document }: ExecutionArgs,
    operation: OperationDefinitionNode,
    variables: Record<string, unknown>,
  ): Plan | null {
    const { id, conditions } = factsOf(operation, document);
    const key = `${id} ${JSON.stringify(conditions.map(name => variables[name]))}`;
    const before = plans.get(key);
    if (before !== undefined) return before;
    try {
      const plan = createPlan(schema, document, operation, variables);
      if (plan !== null) plans.set(key, plan);
      return plan;
    } catch {
      // A condition is null, which is an error of its field.
      return null;
    }
  }

  function factsOf(
    operation: OperationDefinitionNode,
    document: ExecutionArgs['document'],
  ): KnownOperation {
    const before = known.get(operation);
    if (before !== undefined) return before;
    const conditions = new Set<string>();
    visit(document, {
      Directive: ({ name, arguments: args = [] }) => {
        if (name.value !== 'skip' && name.value !== 'include') return;
        for (const { value } of args)
          if (value.kind === Kind.VARIABLE) conditions.add(value.name.value);
      },
    });
    const facts = { id: lastId++, conditions: [...conditions] };
    known.set(operation, facts);
    return facts;
  }
}

function run(execution: Execution): ExecutionResult | Promise<ExecutionResult> {
  const { plan, rootValue, errors, signal } = execution;
  try {
    const data = executeFields(execution, plan.root, rootValue, undefined);
    if (!(data instanceof Promise)) return toResult(data);
    return data.then(toResult, fail);
  } catch (error) {
    return fail(error);
  }

  function toResult(data: unknown): ExecutionResult {
    signal?.throwIfAborted();
    const response = data as ExecutionResult['data'] & object;
    return errors.errors.length === 0
      ? { data: response }
      : { errors: errors.errors, data: response };
  }

  /** A non-null field is null. */
  function fail(error: unknown): ExecutionResult {
    signal?.throwIfAborted();
    errors.add(locatedError(error, undefined), undefined);
    return { errors: errors.errors, data: null };
  }
}

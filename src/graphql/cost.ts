import { complexityFromQuery } from '@pothos/plugin-complexity';
import { type ExecutionArgs, Kind, getOperationAST } from 'graphql';
import { GatewayError } from '../errors.ts';

/** The number of fields, each times the length of the lists it is in, and the depth of the deepest field. */
interface Cost {
  complexity: number;
  depth: number;
}

/** The error for an operation that exceeds a limit. */
export function tooCostly(cost: Cost, limits: Cost): GatewayError {
  return new GatewayError(
    'BAD_USER_INPUT',
    `The operation exceeds a limit: its cost is ${cost.complexity} of at most ${limits.complexity}, its depth ${cost.depth} of at most ${limits.depth}. A field costs 1, times the maximum length of each list that contains it.`,
  );
}

/**
 * Throws BAD_USER_INPUT for a subscription that exceeds a limit. The executor checks queries and
 * mutations when it runs them, but would check a subscription only at each of its events.
 */
export function checkSubscription(args: ExecutionArgs, limits: Cost): void {
  const { schema, document, operationName, variableValues, contextValue } = args;
  const operation = getOperationAST(document, operationName);
  if (!operation) return;
  const fragments = document.definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION);
  const cost = complexityFromQuery(
    { kind: Kind.DOCUMENT, definitions: [operation, ...fragments] },
    { schema, variables: { ...variableValues }, ctx: contextValue as object },
  );
  if (cost.complexity > limits.complexity || cost.depth > limits.depth)
    throw tooCostly(cost, limits);
}

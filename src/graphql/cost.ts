import { complexityFromQuery } from '@pothos/plugin-complexity';
import { type ExecutionArgs, Kind, getOperationAST } from 'graphql';
import { GatewayError } from '../errors.ts';

/** What an operation costs: fields times the length of the lists they are in, and how deep they are. */
interface Cost {
  complexity: number;
  depth: number;
}

/** The refusal of an operation that costs more than it may. */
export function tooCostly(cost: Cost, limits: Cost): GatewayError {
  return new GatewayError(
    'BAD_USER_INPUT',
    `The operation costs ${cost.complexity} of at most ${limits.complexity}, and is ${cost.depth} deep of at most ${limits.depth}: a field costs 1, and as often as its list may be long.`,
  );
}

/**
 * Throws BAD_USER_INPUT for a subscription that costs too much. Queries and mutations are refused as they
 * are executed; a subscription would only be at each of its events.
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

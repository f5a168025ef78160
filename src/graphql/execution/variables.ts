import { type ExecutionArgs, type OperationDefinitionNode, getVariableValues } from 'graphql';

type Coerced = Record<string, unknown>;

const NO_VARIABLES: Coerced = {};

/** The coerced variables; null if they are invalid, which graphql-js reports. */
export function coerceVariables(
  { schema, variableValues }: Pick<ExecutionArgs, 'schema' | 'variableValues'>,
  { variableDefinitions = [] }: OperationDefinitionNode,
): Coerced | null {
  const sent: unknown = variableValues ?? NO_VARIABLES;
  if (typeof sent !== 'object') return null;
  if (variableDefinitions.length === 0) return NO_VARIABLES;
  const options = { maxErrors: 1 };
  return getVariableValues(schema, variableDefinitions, sent as Coerced, options).coerced ?? null;
}

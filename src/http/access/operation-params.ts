import { refusal } from './refusal.ts';

/** An operation as a client sent it, with its members checked. */
export interface OperationParams {
  query?: string;
  operationName?: string;
  variables?: Record<string, unknown>;
  extensions?: Record<string, unknown>;
  /** Names a persisted document instead of `query`. */
  documentId?: string;
}

// JSON.parse does not recurse, but coercing, comparing and printing values do.
const MAX_VALUE_DEPTH = 100;
// An empty list takes two bytes of JSON, and about fifty bytes of memory.
const MAX_VALUES = 20_000;

/**
 * Checks the members of an operation. Unknown members are ignored. Throws a refusal if it is not an
 * operation.
 */
export function readOperationParams(sent: unknown): OperationParams {
  if (Array.isArray(sent))
    throw refusal('BAD_USER_INPUT', 'Batching is not supported: send one operation per request.');
  if (!isObject(sent)) throw refusal('BAD_USER_INPUT', 'An operation must be a JSON object.');
  const params: Record<string, unknown> = {};
  for (const name of ['query', 'operationName', 'documentId']) {
    const value = sent[name] ?? undefined;
    if (value !== undefined && typeof value !== 'string')
      throw refusal('BAD_USER_INPUT', `\`${name}\` must be a string.`);
    if (value !== undefined) params[name] = value;
  }
  for (const name of ['variables', 'extensions']) {
    const value = sent[name] ?? undefined;
    if (value !== undefined && !isObject(value))
      throw refusal('BAD_USER_INPUT', `\`${name}\` must be an object.`);
    checkSize(name, value);
    if (value !== undefined) params[name] = value;
  }
  return params;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Throws a refusal if it has too many levels, which also bounds this recursion, or too many values.
 */
function checkSize(name: string, value: unknown): void {
  let values = 0;
  visit(value, MAX_VALUE_DEPTH);

  function visit(part: unknown, levels: number): void {
    if (++values > MAX_VALUES)
      throw refusal(
        'BAD_USER_INPUT',
        `\`${name}\` has more than the allowed ${MAX_VALUES} values.`,
      );
    if (typeof part !== 'object' || part === null) return;
    const inner = Object.values(part);
    if (inner.length > 0 && levels === 0)
      throw refusal(
        'BAD_USER_INPUT',
        `\`${name}\` is nested deeper than the allowed ${MAX_VALUE_DEPTH} levels.`,
      );
    for (const one of inner) visit(one, levels - 1);
  }
}

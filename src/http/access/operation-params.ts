import { refusal } from './refusal.ts';

/** An operation as a client sends it, its members checked. */
export interface OperationParams {
  query?: string;
  operationName?: string;
  variables?: Record<string, unknown>;
  extensions?: Record<string, unknown>;
  /** Names a persisted document instead of `query`. */
  documentId?: string;
}

// JSON.parse does not recurse; what coerces, compares and prints values does.
const MAX_VALUE_DEPTH = 100;
// An empty list takes two bytes of JSON, and some fifty of memory.
const MAX_VALUES = 20_000;

/** Checks what a client sent. Unknown members are ignored. Throws a refusal for what is no operation. */
export function readOperationParams(sent: unknown): OperationParams {
  if (Array.isArray(sent))
    throw refusal('BAD_USER_INPUT', 'Batching is not supported: send one operation a request.');
  if (!isObject(sent)) throw refusal('BAD_USER_INPUT', 'An operation is a JSON object.');
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

/** Level by level, because recursion is what it protects from. */
function checkSize(name: string, value: unknown): void {
  let level: unknown[] = [value];
  let values = 0;
  for (let depth = 0; level.length > 0; depth++) {
    values += level.length;
    if (depth > MAX_VALUE_DEPTH)
      throw refusal(
        'BAD_USER_INPUT',
        `\`${name}\` is nested deeper than the ${MAX_VALUE_DEPTH} levels that are allowed.`,
      );
    if (values > MAX_VALUES)
      throw refusal(
        'BAD_USER_INPUT',
        `\`${name}\` has more than the ${MAX_VALUES} values that are allowed.`,
      );
    level = level.flatMap(parent =>
      typeof parent === 'object' && parent !== null ? Object.values(parent) : [],
    );
  }
}

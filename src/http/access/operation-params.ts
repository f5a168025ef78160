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

/** Checks the members of an operation. Unknown members are ignored. Throws a refusal if it is not an operation. */
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
    if (!isShallow(value))
      throw refusal(
        'BAD_USER_INPUT',
        `\`${name}\` is nested deeper than the allowed ${MAX_VALUE_DEPTH} levels.`,
      );
    if (value !== undefined) params[name] = value;
  }
  return params;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether it is nested no deeper than so many levels, which also bounds this recursion. */
function isShallow(value: unknown, levels = MAX_VALUE_DEPTH): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (levels === 0) return Object.keys(value).length === 0;
  for (const part of Object.values(value)) if (!isShallow(part, levels - 1)) return false;
  return true;
}

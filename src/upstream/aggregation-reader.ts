import { GatewayError } from '../errors.ts';
import { AGGREGATION_STATUSES, type AccountAggregation } from '../task/account-aggregation.ts';
import { type OnFallback, isObject, kindOf, readEnum, readWord } from './json-fields.ts';
import { readDate } from './wire.ts';

// What an Int of GraphQL holds.
const MAX_COUNT = 2 ** 31 - 1;

/**
 * Reads the status of an account aggregation as upstream sends it. Every field has a fallback,
 * which is reported to `onFallback`. A body that is not an object throws UPSTREAM_INVALID_RESPONSE.
 */
export function readAggregation(
  json: unknown,
  onFallback: OnFallback = () => {},
): AccountAggregation {
  if (!isObject(json))
    throw new GatewayError(
      'UPSTREAM_INVALID_RESPONSE',
      `Upstream answered the status of an account aggregation with ${kindOf(json)} instead of an object.`,
    );
  const field = (name: string) => `accountAggregation.${name}`;
  const rawStatus = readWord(json['status'], field('status'), onFallback);
  const status =
    rawStatus === null
      ? 'UNKNOWN'
      : readEnum(AGGREGATION_STATUSES, rawStatus, field('status'), onFallback);
  // Upstream knows the counts once the accounts are collected; some versions send 0 before that.
  const isCounted = status !== 'STARTED' && status !== 'NOT_FOUND';
  const count = (name: string) =>
    isCounted ? readCount(json[name] ?? null, field(name), onFallback) : null;
  return {
    status,
    rawStatus: rawStatus ?? '',
    started: readDate(json['start'] ?? null, field('start'), onFallback),
    totalAccounts: count('totalAccounts'),
    processedAccounts: count('processedAccounts'),
    totalAccountsMarkedForDeletion: count('totalAccountsMarkedForDeletion'),
    deletedAccounts: count('deletedAccounts'),
    totalIdentities: count('totalIdentities'),
    processedIdentities: count('processedIdentities'),
  };
}

/**
 * A whole number from 0, from a number or its text; null if there is none. Fractions are rounded
 * down.
 */
function readCount(value: unknown, field: string, onFallback: OnFallback): number | null {
  // Versions before v1 do not have all counts.
  if (value === null) return null;
  const isText = typeof value === 'string' && /^\s*-?\d+(\.\d+)?\s*$/.test(value);
  const given = isText ? Number(value) : value;
  if (typeof given !== 'number') {
    onFallback(field, kindOf(value));
    return null;
  }
  const count = Math.floor(given);
  if (!(count >= 0 && count <= MAX_COUNT)) {
    onFallback(field, 'out of range');
    return null;
  }
  if (isText) onFallback(field, 'string');
  else if (count !== given) onFallback(field, 'fraction');
  // Math.floor(-0) is -0.
  return count + 0;
}

import { LRUCache } from 'lru-cache';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import { toRefusal } from './refusal.ts';

/**
 * Limits what callers whose tokens upstream has not accepted yet may have parsed, by their
 * addresses.
 */
export interface ParseAllowance {
  /** Throws RATE_LIMITED if the address has had too many tokens of documents parsed lately. */
  take(address: string, tokens: number): void;
}

// Parsing and validating so many tokens takes some ten milliseconds.
const TOKENS_PER_SECOND = 10_000;
// The longest document once, and some of the usual length.
const BURST = 20_000;
const MAX_ADDRESSES = 10_000;

interface Balance {
  tokens: number;
  /** On the monotonic clock. */
  at: number;
}

export function createParseAllowance(clock: Pick<Clock, 'monotonic'>): ParseAllowance {
  const balances = new LRUCache<string, Balance>({ max: MAX_ADDRESSES });
  return {
    take(address, tokens) {
      const now = clock.monotonic();
      const { tokens: before, at } = balances.get(address) ?? { tokens: BURST, at: now };
      const available = Math.min(BURST, before + ((now - at) / 1_000) * TOKENS_PER_SECOND);
      if (tokens > available) throw tooMuch((tokens - available) / TOKENS_PER_SECOND);
      balances.set(address, { tokens: available - tokens, at: now });
    },
  };
}

function tooMuch(seconds: number): unknown {
  const message =
    'Too many new documents come from this address with tokens that upstream has not accepted yet.';
  const retryAfterSeconds = Math.ceil(seconds);
  return toRefusal(new GatewayError('RATE_LIMITED', message, { retryAfterSeconds }));
}

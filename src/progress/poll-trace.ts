import { GatewayError } from '../errors.ts';
import { OperationUsage } from '../usage.ts';
import type { PollTracing } from './poller.ts';

/** What a poll found. */
export interface PollResult {
  /** How many of the polled states were not known to subscribers. */
  changed: number;
  /** Why a part of it failed; null if none did. */
  failureCode: string | null;
}

/**
 * Polls, in a trace of its own, because a poll has no caller. `polled` is what is polled, as
 * counts. The requests of the poll belong to the usage that it is given.
 */
export async function tracePoll(
  tracer: PollTracing['tracer'],
  name: 'poll tasks' | 'poll lists' | 'poll aggregation',
  polled: Readonly<Record<string, number>>,
  poll: (usage: OperationUsage) => Promise<PollResult>,
): Promise<void> {
  const span = tracer?.start(name, { attributes: polled }) ?? null;
  const usage = new OperationUsage(span);
  try {
    const { changed, failureCode } = await poll(usage);
    end({ changed }, failureCode);
  } catch (error) {
    end({}, error instanceof GatewayError ? error.code : 'INTERNAL_SERVER_ERROR');
    throw error;
  }

  function end(found: { changed?: number }, failureCode: string | null): void {
    span?.set({ requests: usage.upstreamRequests, ...found });
    span?.end(failureCode ?? undefined);
  }
}

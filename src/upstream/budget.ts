import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { BudgetLimits, BudgetWindow, Slot } from '../fleet/fleet.ts';

/** Who waits: a caller for an answer, or a watch for its next poll, of tasks by id or of the head of a list. */
export type Lane = 'interactive' | 'task-poll' | 'list-poll';

/** A wish to send one request. */
export interface SlotWish {
  lane: Lane;
  /** Milliseconds it is worth waiting. */
  patienceMs: number;
  /** Aborted when nobody waits any more. */
  signal?: AbortSignal | undefined;
}

/** Hands out the right to send a request, in order and never more than upstream allows. */
export interface Budget {
  /** Rejects with RATE_LIMITED when no slot can come in time, with the signal's reason when it aborts. */
  acquire(wish: SlotWish): Promise<Slot>;
  /** Nobody is given a slot for that long. */
  pause(forMs: number): void;
  /** The part of it that is spent, 0–1; all of it while somebody has to wait. */
  pressure(): number;
  /** Whether it stands as a new one would: nobody waits and every slot is free. */
  isIdle(): boolean;
  close(): void;
}

interface Waiter {
  grant(slot: Slot): void;
  refuse(error: unknown): void;
}

/** Of this many slots that both lanes wait for, a look gets one: polling slows down, and goes on. */
const LOOK_TURN = 10;

/** The queue before a window: interactive wishes first, each lane in order of arrival. */
export function createBudget(
  window: BudgetWindow,
  { limit, windowMs }: BudgetLimits,
  clock: Clock,
): Budget {
  const lanes: Record<Lane, Set<Waiter>> = {
    interactive: new Set(),
    'task-poll': new Set(),
    'list-poll': new Set(),
  };
  let turns = 0;
  let isAsking = false;
  let cancelTimer: (() => void) | null = null;

  return {
    acquire,
    pause(forMs) {
      window.pause(forMs);
    },
    pressure() {
      if (lanes.interactive.size > 0) return 1;
      const { free, pausedForMs } = window.outlook();
      return pausedForMs > 0 ? 1 : 1 - Math.max(0, free) / limit;
    },
    isIdle() {
      const { free, pausedForMs } = window.outlook();
      return waiting() === 0 && free === limit && pausedForMs === 0;
    },
    close() {
      cancelTimer?.();
      const closed = new GatewayError('UPSTREAM_UNAVAILABLE', 'The gateway is shutting down.');
      for (const waiters of Object.values(lanes))
        for (const waiter of waiters) waiter.refuse(closed);
      window.close();
    },
  };

  function acquire({ lane, patienceMs, signal }: SlotWish): Promise<Slot> {
    return new Promise<Slot>((resolve, reject) => {
      signal?.throwIfAborted();
      const waitMs = forecastMs(lane);
      if (waitMs > patienceMs) throw rateLimited(waitMs);

      const leave = () => {
        lanes[lane].delete(waiter);
        cancelDeadline();
        signal?.removeEventListener('abort', onAbort);
      };
      const waiter: Waiter = {
        grant(slot) {
          leave();
          resolve(slot);
        },
        refuse(error) {
          leave();
          reject(error);
        },
      };
      const onAbort = () => waiter.refuse(signal?.reason);
      const cancelDeadline = clock.after(patienceMs, () =>
        waiter.refuse(rateLimited(forecastMs(lane))),
      );
      signal?.addEventListener('abort', onAbort);
      lanes[lane].add(waiter);
      void serve();
    });
  }

  /** Takes slots for as long as somebody waits; where there is none, comes back when there is. */
  async function serve(): Promise<void> {
    if (isAsking || cancelTimer !== null) return;
    isAsking = true;
    while (waiting() > 0) {
      const take = await window.take();
      if ('retryInMs' in take) {
        cancelTimer = clock.after(Math.max(1, Math.ceil(take.retryInMs)), () => {
          cancelTimer = null;
          void serve();
        });
        break;
      }
      const next = nextWaiter();
      // Whoever waited may have gone while the window was asked.
      if (next) next.grant(take.slot);
      else take.slot.cancel();
    }
    isAsking = false;
  }

  function waiting(): number {
    return Object.values(lanes).reduce((count, { size }) => count + size, 0);
  }

  function nextWaiter(): Waiter | undefined {
    const [interactive] = lanes.interactive;
    const [look] = [...lanes['task-poll'], ...lanes['list-poll']];
    if (!interactive || !look) return interactive ?? look;
    turns = (turns + 1) % LOOK_TURN;
    return turns === 0 ? look : interactive;
  }

  /** Milliseconds until a wish that joins now would be served, at the rate upstream allows. */
  function forecastMs(lane: Lane): number {
    const { free, pausedForMs } = window.outlook();
    const ahead = lane === 'interactive' ? lanes.interactive.size : waiting();
    return pausedForMs + Math.max(0, ahead + 1 - free) * (windowMs / limit);
  }
}

function rateLimited(waitMs: number): GatewayError {
  return new GatewayError(
    'RATE_LIMITED',
    "Upstream's request budget is spent and the wait would be too long.",
    {
      retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)),
    },
  );
}

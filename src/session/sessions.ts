import type { Clock } from '../clock.ts';
import type { Credential } from '../upstream/credentials.ts';
import type { Watching } from '../progress/hub.ts';
import type { Session } from './session.ts';

/** The sessions there are, one for each credential. */
export interface Sessions {
  of(credential: Credential): Session;
  readonly size: number;
  /** What all of them watch together. */
  watching(): Watching;
  close(): void;
}

export interface SessionsParts {
  open(credential: Credential): Session;
  /** Whether a credential is known to be good. Sessions of others are few, and make room for one another alone. */
  isProven?(credential: Credential): boolean;
  clock: Clock;
}

// A token lives for some minutes; a session unused for longer than this is of no use to anybody.
const IDLE_MS = 15 * 60_000;
// Over this many, whoever was idle longest makes room.
const MAX_SESSIONS = 5_000;
// A session with a token that upstream has not accepted yet is needed for one request.
const MAX_UNPROVEN = 1_000;

export function createSessions({ open, isProven = () => true, clock }: SessionsParts): Sessions {
  // In order of last use, longest ago first.
  const kept = new Map<string, { session: Session; usedAt: number }>();
  /** Their credentials were not known to be good when they were last used; in the same order. */
  const unproven = new Set<string>();

  return {
    of(credential) {
      forgetIdle();
      unproven.delete(credential.key);
      if (!isProven(credential)) {
        forgetUnproven();
        unproven.add(credential.key);
      }
      const { session } = kept.get(credential.key) ?? { session: open(credential) };
      kept.delete(credential.key);
      kept.set(credential.key, { session, usedAt: clock.monotonic() });
      return session;
    },
    get size() {
      return kept.size;
    },
    watching() {
      const sum = { taskWatches: 0, listWatches: 0, subscribers: 0 };
      for (const { session } of kept.values()) {
        const { taskWatches, listWatches, subscribers } = session.progress.watching;
        sum.taskWatches += taskWatches;
        sum.listWatches += listWatches;
        sum.subscribers += subscribers;
      }
      return sum;
    },
    close() {
      for (const { session } of kept.values()) session.close();
      kept.clear();
      unproven.clear();
    },
  };

  function forgetIdle(): void {
    for (const [key, { session, usedAt }] of kept) {
      const isOld = clock.monotonic() - usedAt > IDLE_MS;
      if (!isOld && kept.size < MAX_SESSIONS) return;
      // Somebody still follows a task with it.
      if (session.progress.size > 0) continue;
      forget(key, session);
    }
  }

  function forgetUnproven(): void {
    for (const key of unproven) {
      if (unproven.size < MAX_UNPROVEN) return;
      const { session } = kept.get(key) ?? {};
      if (session !== undefined && session.progress.size === 0) forget(key, session);
    }
  }

  function forget(key: string, session: Session): void {
    session.close();
    kept.delete(key);
    unproven.delete(key);
  }
}

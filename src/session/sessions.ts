import type { Clock } from '../clock.ts';
import type { Credential } from '../upstream/credentials.ts';
import type { Session } from './session.ts';

/** The sessions there are, one for each credential. */
export interface Sessions {
  of(credential: Credential): Session;
  readonly size: number;
  close(): void;
}

export interface SessionsParts {
  open(credential: Credential): Session;
  clock: Clock;
}

// A token lives for some minutes; a session unused for longer than this is of no use to anybody.
const IDLE_MS = 15 * 60_000;
// Over this many, whoever was idle longest makes room.
const MAX_SESSIONS = 5_000;

export function createSessions({ open, clock }: SessionsParts): Sessions {
  // In order of last use, longest ago first.
  const kept = new Map<string, { session: Session; usedAt: number }>();

  return {
    of(credential) {
      forgetIdle();
      const { session } = kept.get(credential.key) ?? { session: open(credential) };
      kept.delete(credential.key);
      kept.set(credential.key, { session, usedAt: clock.monotonic() });
      return session;
    },
    get size() {
      return kept.size;
    },
    close() {
      for (const { session } of kept.values()) session.close();
      kept.clear();
    },
  };

  function forgetIdle(): void {
    for (const [key, { session, usedAt }] of kept) {
      const isOld = clock.monotonic() - usedAt > IDLE_MS;
      if (!isOld && kept.size < MAX_SESSIONS) return;
      // Somebody still follows a task with it.
      if (session.progress.size > 0) continue;
      session.close();
      kept.delete(key);
    }
  }
}

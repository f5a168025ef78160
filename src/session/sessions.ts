import type { Clock } from '../clock.ts';
import type { Credential } from '../upstream/credentials.ts';
import type { Watching } from '../progress/hub.ts';
import type { Session } from './session.ts';

/** The open sessions, one for each credential. */
export interface Sessions {
  of(credential: Credential): Session;
  /** The session of the credential with this key, if it is open. */
  find(credentialKey: string): Session | undefined;
  readonly size: number;
  /** What all of them watch together. */
  watching(): Watching;
  close(): void;
}

export interface SessionsParts {
  open(credential: Credential): Session;
  /**
   * Whether upstream has accepted the credential. Unproven ones have a small limit of their own.
   */
  isProven?(credential: Credential): boolean;
  clock: Clock;
}

// Tokens live for some minutes, so a session that is idle for longer will not be used again.
const IDLE_MS = 15 * 60_000;
// Above this number, the sessions idle for longest are closed.
const MAX_SESSIONS = 5_000;
// The order is exact to so many milliseconds.
const MOVE_AFTER_MS = 1_000;
// A session with an unproven token usually serves a single request.
const MAX_UNPROVEN = 1_000;

/** Sessions with subscribers are kept for as long as they have some. */
export function createSessions({ open, isProven = () => true, clock }: SessionsParts): Sessions {
  // Least recently used first.
  const kept = new Map<string, { session: Session; usedAt: number }>();
  /** Keys of sessions whose credential was unproven when they were last used, in the same order. */
  const unproven = new Set<string>();

  return {
    of(credential) {
      dropIdle();
      unproven.delete(credential.key);
      if (!isProven(credential)) {
        dropUnproven();
        unproven.add(credential.key);
      }
      const usedAt = clock.monotonic();
      const known = kept.get(credential.key);
      // Moved to the end now and then: each move costs more than the rest of this.
      if (known !== undefined && usedAt - known.usedAt < MOVE_AFTER_MS) return known.session;
      const session = known?.session ?? open(credential);
      kept.delete(credential.key);
      kept.set(credential.key, { session, usedAt });
      return session;
    },
    find: credentialKey => kept.get(credentialKey)?.session,
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

  function dropIdle(): void {
    for (const [key, { session, usedAt }] of kept) {
      const isOld = clock.monotonic() - usedAt > IDLE_MS;
      if (!isOld && kept.size < MAX_SESSIONS) return;
      // It still has subscribers.
      if (session.progress.size > 0) continue;
      drop(key, session);
    }
  }

  function dropUnproven(): void {
    for (const key of unproven) {
      if (unproven.size < MAX_UNPROVEN) return;
      const { session } = kept.get(key) ?? {};
      if (session !== undefined && session.progress.size === 0) drop(key, session);
    }
  }

  function drop(key: string, session: Session): void {
    session.close();
    kept.delete(key);
    unproven.delete(key);
  }
}

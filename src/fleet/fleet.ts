/** The right to send one request within upstream's rate limit. */
export interface Slot {
  /**
   * Upstream has answered, or the connection has closed. The slot is free one window after this
   * call. The time counts from the answer rather than the request: upstream counts a request when
   * it arrives, which is between the two, so no window at upstream ever holds too many.
   */
  settle(): void;
  /**
   * Whether a request may still be sent. False if the process was suspended for so long that
   * another instance may have got the slot. Then cancel it and take another.
   */
  isValid(): boolean;
  /** Gives the slot back. Call it only if no request was sent. */
  cancel(): void;
}

/** A slot, or milliseconds after which to try again. */
export type Take = { slot: Slot } | { retryInMs: number };

/** The sliding window of one upstream budget. All instances take slots from it. */
export interface BudgetWindow {
  /**
   * `isProvisional`: the slot does not count in the pace at which slots are given until it is
   * settled, because it is likely to be cancelled.
   */
  take(options?: { isProvisional: boolean }): Promise<Take> | Take;
  /** Gives no slot for this many milliseconds. For a Retry-After from upstream. */
  pause(forMs: number): void;
  /**
   * Free slots, milliseconds left of a pause, and the number of instances. For estimates of waiting
   * times.
   */
  outlook(): { free: number; pausedForMs: number; instances: number };
  /** This instance takes no more slots. */
  close(): void;
}

/** The maximum number of requests in any window of `windowMs` milliseconds. */
export interface BudgetLimits {
  limit: number;
  windowMs: number;
}

/**
 * The share of a window's slots that may be taken at once. The rest is spread over the remaining
 * window.
 */
export const BURST_SHARE = 0.2;

/**
 * A right that one instance holds at a time. If that instance stops renewing it, another gets it.
 */
export interface Lease {
  readonly isHeld: boolean;
  /** Gives the lease up, or stops asking for it. */
  close(): void;
}

/** Callbacks of the instance that opened a group. */
export interface GroupListener<M> {
  /** An instance of the group published this message; it may be this instance. */
  receive(message: M): void;
  /** Messages of other instances may have been missed. */
  onReconnect(): void;
}

/** The instances that watch tasks with the same credential. One of them polls for all. */
export interface WatchGroup<M> {
  /**
   * Resolves when this instance receives all messages that are published from then on. Never
   * rejects.
   */
  readonly joined: Promise<void>;
  watch(id: string): void;
  unwatch(id: string): void;
  /** The ids that at least one instance watches. */
  watchedIds(): Promise<ReadonlySet<string>>;
  /**
   * Requests the lease. `onHeld` is called each time it is obtained later, not if it is held from
   * the start.
   */
  openLease(name: string, onHeld: () => void): Lease;
  /**
   * Sends a message to every instance, including this one, which receives it before this returns.
   * Messages must survive JSON.
   */
  publish(message: M): void;
  close(): void;
}

/** How the connection between instances is, for operators. */
export interface FleetStatus {
  isConnected: boolean;
  /** Why it is not connected; never holds a URL or a password. Null while it is. */
  reason: string | null;
  /** Instances that share the Redis, including this one, at its last answer. */
  instances: number;
  /** Leases that this instance holds. While Redis is disconnected it holds all that it wants. */
  leases: number;
}

/** The state that gateway instances share. */
export interface Fleet {
  /** Null for a single instance, which shares nothing. */
  status(): FleetStatus | null;
  /** Opens the window of the budget with this name. */
  openWindow(name: string): BudgetWindow;
  /** Joins the group with this name. */
  openGroup<M>(name: string, listener: GroupListener<M>): WatchGroup<M>;
  close(): Promise<void>;
}

/** A place in the window of upstream's rate limit. */
export interface Slot {
  /**
   * Upstream has answered, or its socket is gone: the slot comes free one window after this.
   * Counted from the answer and not from the request, because upstream counts when the request
   * arrives, which is between the two: so counted, no window at upstream ever holds too many.
   */
  settle(): void;
  /**
   * Whether a request may still be sent with it. False where the process was held up for so long that the
   * slot may have been given to another instance: cancel it then, and take another.
   */
  isValid(): boolean;
  /** Nothing was sent. */
  cancel(): void;
}

/** A slot, or the milliseconds after which to ask again. */
export type Take = { slot: Slot } | { retryInMs: number };

/** The sliding window of one upstream budget, shared by all who spend from it. */
export interface BudgetWindow {
  /**
   * `isProvisional`: the slot does not count in the pace at which slots are given until it is settled, because
   * it may well be cancelled.
   */
  take(options?: { isProvisional: boolean }): Promise<Take> | Take;
  /** No slot is given for that long: upstream said Retry-After. */
  pause(forMs: number): void;
  /** Slots free now, milliseconds of pause left, and the instances that spend from it: what a forecast is made from. */
  outlook(): { free: number; pausedForMs: number; instances: number };
  /** Nobody will take from it here any more. */
  close(): void;
}

/** Requests per window. */
export interface BudgetLimits {
  limit: number;
  windowMs: number;
}

/** The share of a window that may go at once; the rest is spread over what is left of the window. */
export const BURST_SHARE = 0.2;

/** A right that one instance has at a time; when it is not heard of any more, another gets it. */
export interface Lease {
  readonly isHeld: boolean;
  /** It is not wanted here any more. */
  close(): void;
}

/** What a group tells the instance that opened it. */
export interface GroupListener<M> {
  /** Some instance published this, perhaps this one. */
  receive(message: M): void;
  /** What others published for a while was not heard here. */
  rejoined(): void;
}

/** Instances that watch tasks with one credential, and look at them for each other. */
export interface WatchGroup<M> {
  /** From here on everything that is published is heard. Never rejects. */
  readonly joined: Promise<void>;
  watch(id: string): void;
  unwatch(id: string): void;
  /** The ids that any instance watches. */
  watchedIds(): Promise<ReadonlySet<string>>;
  /** `onHeld` is called each time that the lease is got later: not where it is held from the start. */
  openLease(name: string, onHeld: () => void): Lease;
  /** Tells every instance, this one at once. A message survives JSON. */
  publish(message: M): void;
  close(): void;
}

/** What instances of the gateway share. */
export interface Fleet {
  /** The window of the budget of this name. */
  openWindow(name: string): BudgetWindow;
  openGroup<M>(name: string, listener: GroupListener<M>): WatchGroup<M>;
  close(): Promise<void>;
}

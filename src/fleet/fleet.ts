/** A place in the window of upstream's rate limit. */
export interface Slot {
  /**
   * Upstream has answered, or its socket is gone: the slot comes free one window after this.
   * Counted from the answer and not from the request, because upstream counts when the request
   * arrives, which is between the two: so counted, no window at upstream ever holds too many.
   */
  settle(): void;
  /** Nothing was sent. */
  cancel(): void;
}

/** A slot, or the milliseconds after which to ask again. */
export type Take = { slot: Slot } | { retryInMs: number };

/** The sliding window of one upstream budget, shared by all who spend from it. */
export interface BudgetWindow {
  take(): Promise<Take> | Take;
  /** No slot is given for that long: upstream said Retry-After. */
  pause(forMs: number): void;
  /** Slots free now, and milliseconds of pause left: what a forecast is made from. */
  outlook(): { free: number; pausedForMs: number };
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

/** What instances of the gateway share. */
export interface Fleet {
  /** The window of one client's budget. */
  openWindow(clientId: string): BudgetWindow;
  close(): Promise<void>;
}

/** A component that shares state over the connection. */
export interface RedisMember {
  /**
   * Redis is disconnected. Called again after each failed attempt to rejoin. `mayHaveMissed`: the
   * last messages may not have been received.
   */
  onDisconnect(loss: { mayHaveMissed: boolean }): void;
  /** Nothing listens at the address of Redis, so all instances have lost it. */
  onServerDown(): void;
  /** Redis is back. Writes what the other instances must know before any of them continues. */
  resync(): Promise<void>;
  /** All members have resynced, and state is shared again. */
  onReconnect(): void;
}

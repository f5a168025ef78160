export interface MessageRate {
  /** The rate of messages, pings and pongs that a client may sustain. */
  maxMessagesPerSecond: number;
  /** How many of them it may send in one burst. */
  messageBurst: number;
}

/** How many messages a client may still send. */
export class MessageAllowance {
  readonly #rate: MessageRate;
  #left: number;
  #countedAt = performance.now();

  constructor(rate: MessageRate) {
    this.#rate = rate;
    this.#left = rate.messageBurst;
  }

  /** Counts a message. False if it is one too many. */
  take(): boolean {
    const { maxMessagesPerSecond, messageBurst } = this.#rate;
    const now = performance.now();
    const regained = ((now - this.#countedAt) / 1000) * maxMessagesPerSecond;
    this.#left = Math.min(messageBurst, this.#left + regained) - 1;
    this.#countedAt = now;
    return this.#left >= 0;
  }
}

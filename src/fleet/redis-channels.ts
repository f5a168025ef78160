import type { Log } from '../log.ts';
import type { RedisSession } from './redis-session.ts';

/** The receivers of messages, by channel. They outlive the sessions that deliver the messages. */
export class RedisChannels {
  readonly #receivers = new Map<string, (message: Buffer) => void>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  set(channel: string, receive: (message: Buffer) => void): void {
    this.#receivers.set(channel, receive);
  }

  delete(channel: string): void {
    this.#receivers.delete(channel);
  }

  /** Passes a message to its receiver. Never throws. */
  deliver(channel: string, message: Buffer): void {
    try {
      this.#receivers.get(channel)?.(message);
    } catch (error) {
      // An exception here would end the process because of another instance's message.
      this.#log.error({ err: error, channel }, 'a message from another instance could not be read');
    }
  }

  /**
   * Subscribes the session to all channels. Repeats until none is missing, because more may be
   * added meanwhile.
   */
  async subscribeAll(session: RedisSession): Promise<void> {
    const subscribed = new Set<string>();
    for (;;) {
      const missing = [...this.#receivers.keys()].filter(channel => !subscribed.has(channel));
      if (missing.length === 0) return;
      await session.subscribe(missing);
      for (const channel of missing) subscribed.add(channel);
    }
  }
}

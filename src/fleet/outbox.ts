import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Clock } from '../clock.ts';

/**
 * Messages on their way to a channel, in order, in chunks of limited size.
 *
 * Redis keeps what a subscriber has not read, and drops a subscriber for whom it keeps more than 32 MB, or
 * 8 MB for a minute. So chunks follow each other no faster than `BYTES_PER_MS`, and a message that is
 * larger than a chunk is sent in several.
 *
 * A chunk is a line of JSON, the header, and the bytes of a JSON array of messages, or a part of them.
 */
interface ChunkHeader {
  /** The instance that sent it. */
  from: string;
  /** Whether the array begins in this chunk, and whether it ends in it. */
  isFirst: boolean;
  isLast: boolean;
  isDeflated: boolean;
}

export interface OutboxOptions {
  from: string;
  clock: Clock;
  /** Called before each chunk; rejects where the channel is lost. */
  send(chunk: Buffer): Promise<void>;
}

/** Bytes of a chunk at the most, before it is compressed. */
export const MAX_CHUNK_BYTES = 1_000_000;
// Tasks of one kind are much alike: compressed, they are a tenth. Small chunks are not worth the time.
const MIN_DEFLATED_BYTES = 16_000;
// A subscriber that reads nothing for three seconds is not dropped yet.
const BYTES_PER_MS = 8_000;
// As much may be sent at once.
const BURST_MS = 100;

export class Outbox<M> {
  readonly #options: OutboxOptions;
  #waiting: string[] = [];
  /** When everything sent is sent at the allowed rate, on the monotonic clock. */
  #paidUntil = -Infinity;
  /** Counts the calls of `clear`. */
  #clearings = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  push(message: M): void {
    this.#waiting.push(JSON.stringify(message));
  }

  /** Drops what is not sent. */
  clear(): void {
    this.#waiting = [];
    this.#clearings++;
  }

  /** Sends the next messages, as many as fit into one chunk, or one that is larger. Rejects as `send` does. */
  async sendNext(): Promise<void> {
    const { from, send } = this.#options;
    const clearings = this.#clearings;
    const body = Buffer.from(`[${this.#takeNext().join(',')}]`);
    for (let start = 0; start < body.length; start += MAX_CHUNK_BYTES) {
      await this.#pace();
      if (clearings !== this.#clearings) return;
      const part = body.subarray(start, start + MAX_CHUNK_BYTES);
      const isDeflated = part.length >= MIN_DEFLATED_BYTES;
      const header: ChunkHeader = {
        from,
        isFirst: start === 0,
        isLast: start + MAX_CHUNK_BYTES >= body.length,
        isDeflated,
      };
      const bytes = isDeflated ? deflateRawSync(part, { level: 1 }) : part;
      const chunk = Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), bytes]);
      const now = this.#options.clock.monotonic();
      this.#paidUntil = Math.max(this.#paidUntil, now) + chunk.length / BYTES_PER_MS;
      await send(chunk);
    }
  }

  #takeNext(): string[] {
    const taken: string[] = [];
    let length = 0;
    for (const text of this.#waiting) {
      // Of characters: a message of others than ASCII takes up to three times the bytes, and more chunks.
      length += text.length + 1;
      if (taken.length > 0 && length > MAX_CHUNK_BYTES - 2) break;
      taken.push(text);
    }
    this.#waiting = this.#waiting.slice(taken.length);
    return taken;
  }

  async #pace(): Promise<void> {
    const { clock } = this.#options;
    const aheadMs = this.#paidUntil - clock.monotonic() - BURST_MS;
    if (aheadMs > 0) await new Promise<void>(resolve => void clock.after(aheadMs, resolve));
  }
}

/** Puts chunks together again, of any number of senders but the instance itself. */
export class Inbox<M> {
  readonly #instanceId: string;
  readonly #parts = new Map<string, Buffer[]>();

  constructor(instanceId: string) {
    this.#instanceId = instanceId;
  }

  /** The messages that a chunk completes. Throws where it is no chunk. */
  receive(chunk: Buffer): M[] {
    const end = chunk.indexOf('\n');
    const header = JSON.parse(chunk.toString('utf8', 0, end)) as ChunkHeader;
    const { from, isFirst, isLast, isDeflated } = header;
    if (from === this.#instanceId) return [];
    const bytes = chunk.subarray(end + 1);
    const parts = isFirst ? [] : this.#parts.get(from);
    this.#parts.delete(from);
    // What came before it was not received: the sender was asked for all of it anew.
    if (parts === undefined) return [];
    parts.push(isDeflated ? inflateRawSync(bytes) : bytes);
    if (!isLast) this.#parts.set(from, parts);
    return isLast ? (JSON.parse(Buffer.concat(parts).toString()) as M[]) : [];
  }

  /** Forgets what is incomplete. */
  clear(): void {
    this.#parts.clear();
  }
}

import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Clock } from '../clock.ts';

/**
 * The header of a chunk. Messages are sent to a channel in order, in chunks of limited size.
 *
 * Redis buffers what a subscriber has not read, and disconnects a subscriber when the buffer
 * exceeds 32 MB, or 8 MB for a minute. So chunks are sent no faster than `BYTES_PER_MS`, and a
 * message that is larger than a chunk is split.
 *
 * A chunk is one line of JSON, the header, followed by the bytes of a JSON array of messages or a
 * part of it.
 */
interface ChunkHeader {
  /** Id of the instance that sent the chunk. */
  from: string;
  /** Whether the chunk holds the start and the end of the array. */
  isFirst: boolean;
  isLast: boolean;
  isDeflated: boolean;
}

export interface OutboxOptions {
  from: string;
  clock: Clock;
  /** Sends one chunk. Rejects if the channel is disconnected. */
  send(chunk: Buffer): Promise<void>;
}

/** The maximum size of a chunk in bytes, before compression. */
export const MAX_CHUNK_BYTES = 1_000_000;
// Tasks of one kind are similar, so compression reduces them to a tenth. Small chunks are not worth
// the time.
const MIN_DEFLATED_BYTES = 16_000;
// At this rate Redis keeps a subscriber that reads nothing for three seconds.
const BYTES_PER_MS = 8_000;
// Milliseconds' worth of data that may be sent at once.
const BURST_MS = 100;

/** Messages of one instance that wait to be sent to a channel. */
export class Outbox<M> {
  readonly #options: OutboxOptions;
  #waiting: string[] = [];
  /** When all data sent so far would have been sent at the allowed rate, on the monotonic clock. */
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

  /** Drops all messages that are not sent yet. */
  clear(): void {
    this.#waiting = [];
    this.#clearings++;
  }

  /**
   * Sends one array of the next messages: as many as fit into a chunk, or a single larger one.
   * Rejects as `send` does.
   */
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
      // This counts characters. A message with characters outside ASCII has up to three times as
      // many bytes, and takes more chunks.
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

/**
 * Reassembles messages from the chunks of any number of other instances. Ignores chunks of this
 * instance.
 */
export class Inbox<M> {
  readonly #instanceId: string;
  readonly #parts = new Map<string, Buffer[]>();

  constructor(instanceId: string) {
    this.#instanceId = instanceId;
  }

  /** Returns the messages that a chunk completes. Throws if the chunk is malformed. */
  receive(chunk: Buffer): M[] {
    const end = chunk.indexOf('\n');
    const header = JSON.parse(chunk.toString('utf8', 0, end)) as ChunkHeader;
    const { from, isFirst, isLast, isDeflated } = header;
    if (from === this.#instanceId) return [];
    const bytes = chunk.subarray(end + 1);
    const parts = isFirst ? [] : this.#parts.get(from);
    this.#parts.delete(from);
    // The start of this message was not received. After a reconnect the missed state is published
    // again.
    if (parts === undefined) return [];
    parts.push(isDeflated ? inflateRawSync(bytes) : bytes);
    if (!isLast) this.#parts.set(from, parts);
    return isLast ? (JSON.parse(Buffer.concat(parts).toString()) as M[]) : [];
  }

  /** Drops incomplete messages. */
  clear(): void {
    this.#parts.clear();
  }
}

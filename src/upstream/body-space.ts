import { BodyLimitError } from './decoding.ts';

/** The memory that answers of upstream's take together while they are received and decoded. */
export interface BodySpace {
  /** For one answer. `take` throws BodyLimitError where all answers together have too many bytes, and this one many. */
  open(): { take(bytes: number): void; close(): void };
  /** Runs a decoding, of which few run at a time: nothing is known of its length before it ends. */
  decode<T>(run: () => Promise<T>): Promise<T>;
}

// As many as Node's own threads, which do the work.
const MAX_DECODINGS = 4;
// Answers of the usual length are not refused because others are huge.
const SMALL_BYTES = 1_048_576;

export function createBodySpace(maxBytes: number): BodySpace {
  const waiting: (() => void)[] = [];
  let taken = 0;
  let decodings = 0;

  return {
    open() {
      let own = 0;
      return {
        take(bytes) {
          if (taken + bytes > maxBytes && own + bytes > SMALL_BYTES)
            throw new BodyLimitError(
              'The answers of upstream together are too large at the moment.',
            );
          own += bytes;
          taken += bytes;
        },
        close() {
          taken -= own;
          own = 0;
        },
      };
    },
    async decode(run) {
      if (decodings >= MAX_DECODINGS) await new Promise<void>(resolve => waiting.push(resolve));
      else decodings++;
      try {
        return await run();
      } finally {
        const next = waiting.shift();
        if (next) next();
        else decodings--;
      }
    },
  };
}

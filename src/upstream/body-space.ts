import { BodyLimitError } from './decoding.ts';

/** Bounds the memory of all answers that are being received or decoded. */
export interface BodySpace {
  /**
   * For one answer. `take` throws BodyLimitError if all answers together are too large and this one is
   * not small.
   */
  open(): { take(bytes: number): void; close(): void };
  /** Runs a decoding. Only a few run at once, because the decoded length is not known before the end. */
  decode<T>(run: () => Promise<T>): Promise<T>;
}

// The number of Node's own threads, which do the work.
const MAX_DECODINGS = 4;
// Answers up to this length are never refused because others are large.
const SMALL_BYTES = 1_048_576;

/** `maxBytes` bounds all answers together. */
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
              'Too many large answers of upstream are being received at the moment.',
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

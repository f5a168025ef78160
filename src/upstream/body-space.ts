import { type ByteShare, createByteSpace } from '../byte-space.ts';
import { BodyLimitError } from './decoding.ts';

/** Bounds the memory of all answers that are being received or decoded. */
export interface BodySpace {
  /**
   * For one answer. `take` throws BodyLimitError if all answers together are too large and this one
   * is not small.
   */
  open(): ByteShare;
  /**
   * Runs a decoding. Only a few run at once, because the decoded length is not known before the
   * end.
   */
  decode<T>(run: () => Promise<T>): Promise<T>;
}

// The number of Node's own threads, which do the work.
const MAX_DECODINGS = 4;
// Answers up to this length are never refused because others are large.
const SMALL_BYTES = 1_048_576;

/** `maxBytes` bounds all answers together. */
export function createBodySpace(maxBytes: number): BodySpace {
  const space = createByteSpace({
    maxBytes,
    smallBytes: SMALL_BYTES,
    refusal: () =>
      new BodyLimitError('Too many large answers of upstream are being received at the moment.'),
  });
  const waiting: (() => void)[] = [];
  let decodings = 0;

  return {
    open: space.open,
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

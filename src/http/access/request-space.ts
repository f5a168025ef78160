import { GatewayError } from '../../errors.ts';

/** The memory that the bodies and messages of all clients take together, from their first byte to their answer. */
export interface RequestSpace {
  /** For one request. */
  open(): RequestShare;
}

/** What one request takes. */
export interface RequestShare {
  /** Throws RATE_LIMITED where all requests together take too many bytes, and this one many. */
  take(bytes: number): void;
  giveBack(bytes: number): void;
  close(): void;
}

// Parsed, a byte takes several.
const MAX_BYTES = 67_108_864;
// Requests of the usual length are not refused because others are long. Connections are limited too.
const SMALL_BYTES = 16_384;
const RETRY_AFTER_SECONDS = 5;

/** Refuses long requests while those under way have more than `maxBytes`, so that slow ones cannot fill the memory. */
export function createRequestSpace(maxBytes = MAX_BYTES): RequestSpace {
  let taken = 0;
  return {
    open() {
      let own = 0;
      return {
        take(bytes) {
          if (taken + bytes > maxBytes && own + bytes > SMALL_BYTES)
            throw new GatewayError(
              'RATE_LIMITED',
              'The requests of all clients together are too long at the moment.',
              { retryAfterSeconds: RETRY_AFTER_SECONDS },
            );
          own += bytes;
          taken += bytes;
        },
        giveBack(bytes) {
          own -= bytes;
          taken -= bytes;
        },
        close() {
          taken -= own;
          own = 0;
        },
      };
    },
  };
}

import { type ByteShare, type ByteSpace, createByteSpace } from '../../byte-space.ts';
import { GatewayError } from '../../errors.ts';

/**
 * The memory that the bodies and messages of all clients take together, from their first byte to
 * their answer.
 */
export type RequestSpace = ByteSpace;

/** What one request takes. */
export type RequestShare = ByteShare;

// Parsed, a byte takes several.
const MAX_BYTES = 67_108_864;
// Requests of the usual length are not refused because others are long. Connections are limited
// too.
const SMALL_BYTES = 16_384;
const RETRY_AFTER_SECONDS = 5;

/**
 * Refuses long requests with RATE_LIMITED while those under way have more than `maxBytes`, so that
 * slow ones cannot fill the memory.
 */
export function createRequestSpace(maxBytes = MAX_BYTES): RequestSpace {
  return createByteSpace({
    maxBytes,
    smallBytes: SMALL_BYTES,
    refusal: () =>
      new GatewayError(
        'RATE_LIMITED',
        'The requests of all clients together are too long at the moment.',
        { retryAfterSeconds: RETRY_AFTER_SECONDS },
      ),
  });
}

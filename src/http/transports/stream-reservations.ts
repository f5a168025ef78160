import { randomUUID } from 'node:crypto';
import { GatewayError } from '../../errors.ts';
import { EventStream } from './event-stream.ts';

/** Who reserved a stream. */
export interface StreamOwner {
  /**
   * Equal for requests of the same caller with the same credential. Others may not use the stream.
   */
  key: string;
  /** The address that the reservation counts for. */
  address: string;
}

export interface ReservedStream {
  stream: EventStream;
  owner: StreamOwner;
}

/** The streams of the single connection mode, by token. */
export interface StreamReservations {
  /**
   * Reserves a stream and returns its token. Throws RATE_LIMITED for an owner with 100 unopened
   * streams.
   */
  reserve(owner: StreamOwner): string;
  find(token: string): ReservedStream | undefined;
}

// A stream that is not opened within this time is destroyed.
const OPEN_WITHIN_MS = 30_000;
const MAX_UNOPENED_PER_OWNER = 100;
const MAX_UNOPENED = 10_000;

/** Streams are removed when they are closed. */
export function createStreamReservations(): StreamReservations {
  const streams = new Map<string, ReservedStream>();
  const unopenedOfOwner = new Map<string, Set<EventStream>>();
  const unopenedOfAddress = new Map<string, Set<EventStream>>();
  let unopened = 0;

  return {
    reserve(owner) {
      if ((unopenedOfOwner.get(owner.key)?.size ?? 0) >= MAX_UNOPENED_PER_OWNER)
        throw new GatewayError(
          'RATE_LIMITED',
          `A caller may have at most ${MAX_UNOPENED_PER_OWNER} reserved streams that are not open.`,
        );
      // Evict from the address with most reservations, so that one address cannot block the others
      // with many credentials.
      if (unopened >= MAX_UNOPENED) oldestOfBusiestAddress()?.destroy();
      return open(owner);
    },
    find: token => streams.get(token),
  };

  function open(owner: StreamOwner): string {
    const token = randomUUID();
    const timeout = setTimeout(() => stream.destroy(), OPEN_WITHIN_MS).unref();
    const settle = () => {
      clearTimeout(timeout);
      unopened--;
      remove(unopenedOfOwner, owner.key, stream);
      remove(unopenedOfAddress, owner.address, stream);
    };
    const stream = new EventStream({
      onOpen: settle,
      onClose(wasOpened) {
        if (!wasOpened) settle();
        streams.delete(token);
      },
    });
    unopened++;
    add(unopenedOfOwner, owner.key, stream);
    add(unopenedOfAddress, owner.address, stream);
    streams.set(token, { stream, owner });
    return token;
  }

  function oldestOfBusiestAddress(): EventStream | undefined {
    let busiest = new Set<EventStream>();
    for (const ofAddress of unopenedOfAddress.values())
      if (ofAddress.size > busiest.size) busiest = ofAddress;
    const [oldest] = busiest;
    return oldest;
  }
}

function add(sets: Map<string, Set<EventStream>>, key: string, stream: EventStream): void {
  sets.set(key, (sets.get(key) ?? new Set()).add(stream));
}

function remove(sets: Map<string, Set<EventStream>>, key: string, stream: EventStream): void {
  const set = sets.get(key);
  set?.delete(stream);
  if (set?.size === 0) sets.delete(key);
}

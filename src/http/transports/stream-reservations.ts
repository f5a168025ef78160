import { randomUUID } from 'node:crypto';
import { GatewayError } from '../../errors.ts';
import { EventStream } from './event-stream.ts';

/** Who reserves a stream: what it is bound to, and the address that it is counted for. */
export interface StreamOwner {
  /** Equal for requests with the same credential of the same caller. */
  key: string;
  address: string;
}

export interface ReservedStream {
  stream: EventStream;
  owner: StreamOwner;
}

/** The streams of the single connection mode, by their tokens. */
export interface StreamReservations {
  /** The token of a new stream, which is given up unless it is opened. Throws RATE_LIMITED for the owner's 101st. */
  reserve(owner: StreamOwner): string;
  find(token: string): ReservedStream | undefined;
}

// Reserved and not opened for so long, a stream is given up.
const OPEN_WITHIN_MS = 30_000;
const MAX_UNOPENED_PER_OWNER = 100;
const MAX_UNOPENED = 10_000;

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
          `One caller may have ${MAX_UNOPENED_PER_OWNER} streams reserved and not opened.`,
        );
      // An address with very many credentials, good or not, makes room itself: others can always reserve.
      if (unopened >= MAX_UNOPENED) oldestOfBusiestAddress()?.destroy();
      return open(owner);
    },
    find: token => streams.get(token),
  };

  function open(owner: StreamOwner): string {
    const token = randomUUID();
    const giveUp = setTimeout(() => stream.destroy(), OPEN_WITHIN_MS).unref();
    const settle = () => {
      clearTimeout(giveUp);
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

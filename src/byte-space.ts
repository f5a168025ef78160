/** Memory that many share: each takes bytes of it and gives them back. */
export interface ByteSpace {
  /** The share of one holder. */
  open(): ByteShare;
}

export interface ByteShare {
  /**
   * Throws the refusal if all shares together would exceed the maximum and this one would not be
   * small.
   */
  take(bytes: number): void;
  giveBack(bytes: number): void;
  /** Gives back all that the share holds. */
  close(): void;
  /** Another share, with all that this one holds. This one holds nothing any more. */
  handOver(): ByteShare;
}

export interface ByteSpaceOptions {
  /** Bytes of all shares together. */
  maxBytes: number;
  /** A share of up to so many bytes is never refused, because others are large. */
  smallBytes: number;
  /** The error of a share that is refused. */
  refusal(): Error;
}

export function createByteSpace(options: ByteSpaceOptions): ByteSpace {
  const whole = { ...options, taken: 0 };
  return { open: () => new Share(whole) };
}

/**
 * A class, because each connection has one, and functions of its own would take five times the
 * memory.
 */
class Share implements ByteShare {
  readonly #whole: ByteSpaceOptions & { taken: number };
  #own = 0;

  constructor(whole: ByteSpaceOptions & { taken: number }) {
    this.#whole = whole;
  }

  take(bytes: number): void {
    const { taken, maxBytes, smallBytes, refusal } = this.#whole;
    if (taken + bytes > maxBytes && this.#own + bytes > smallBytes) throw refusal();
    this.#own += bytes;
    this.#whole.taken += bytes;
  }

  giveBack(bytes: number): void {
    this.#own -= bytes;
    this.#whole.taken -= bytes;
  }

  close(): void {
    this.#whole.taken -= this.#own;
    this.#own = 0;
  }

  handOver(): ByteShare {
    const other = new Share(this.#whole);
    other.#own = this.#own;
    this.#own = 0;
    return other;
  }
}

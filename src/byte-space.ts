/** Memory that many share: each takes bytes of it and gives them back. */
export interface ByteSpace {
  /** The share of one holder. */
  open(): ByteShare;
}

export interface ByteShare {
  /** Throws the refusal if all shares together would exceed the maximum and this one would not be small. */
  take(bytes: number): void;
  giveBack(bytes: number): void;
  /** Gives back all that the share holds. */
  close(): void;
}

export interface ByteSpaceOptions {
  /** Bytes of all shares together. */
  maxBytes: number;
  /** A share of up to so many bytes is never refused, because others are large. */
  smallBytes: number;
  /** The error of a share that is refused. */
  refusal(): Error;
}

export function createByteSpace({ maxBytes, smallBytes, refusal }: ByteSpaceOptions): ByteSpace {
  let taken = 0;
  return {
    open() {
      let own = 0;
      return {
        take(bytes) {
          if (taken + bytes > maxBytes && own + bytes > smallBytes) throw refusal();
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

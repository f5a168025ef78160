/** Which ids are watched here, by however many watches. */
export interface Interest {
  add(id: string): void;
  remove(id: string): void;
  ids(): Iterable<string>;
}

export interface InterestParts {
  /** The first to watch this id has come. */
  begin(id: string): void;
  /** The last to watch this id has gone. */
  end(id: string): void;
  /** Nothing is watched any more. */
  endAll(): void;
}

export function createInterest({ begin, end, endAll }: InterestParts): Interest {
  const counts = new Map<string, number>();
  return {
    add(id) {
      const count = counts.get(id) ?? 0;
      counts.set(id, count + 1);
      if (count === 0) begin(id);
    },
    remove(id) {
      const count = counts.get(id) ?? 0;
      if (count > 1) {
        counts.set(id, count - 1);
        return;
      }
      counts.delete(id);
      end(id);
      if (counts.size === 0) endAll();
    },
    ids: () => counts.keys(),
  };
}

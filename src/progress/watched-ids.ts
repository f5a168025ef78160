/** The ids that are watched here, each by one watch or several. */
export interface WatchedIds {
  add(id: string): void;
  remove(id: string): void;
  all(): Iterable<string>;
}

export interface WatchedIdsParts {
  /** The first watch of this id has come. */
  onFirst(id: string): void;
  /** The last watch of this id has gone. */
  onLast(id: string): void;
  /** Nothing is watched any more. */
  onEmpty(): void;
}

export function createWatchedIds({ onFirst, onLast, onEmpty }: WatchedIdsParts): WatchedIds {
  const counts = new Map<string, number>();
  return {
    add(id) {
      const count = counts.get(id) ?? 0;
      counts.set(id, count + 1);
      if (count === 0) onFirst(id);
    },
    remove(id) {
      const count = counts.get(id) ?? 0;
      if (count > 1) {
        counts.set(id, count - 1);
        return;
      }
      counts.delete(id);
      onLast(id);
      if (counts.size === 0) onEmpty();
    },
    all: () => counts.keys(),
  };
}

/** The ids of tasks that this instance watches, with a reference count for each. */
export interface WatchedIds {
  add(id: string): void;
  remove(id: string): void;
  all(): Iterable<string>;
}

export interface WatchedIdsParts {
  /** The id was added and was not watched before. */
  onFirst(id: string): void;
  /** The last reference to the id was removed. */
  onLast(id: string): void;
  /** Nothing is watched any more. */
  onEmpty(): void;
}

/** An empty set of ids that calls back when an id is first added or last removed. */
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

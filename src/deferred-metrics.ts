import type { Counter, Histogram } from 'prom-client';

// A fraction of a millisecond's work.
const MAX_DEFERRED = 1_000;

/**
 * Counts what happens many times in an operation, until the metrics are read: adding to a counter
 * of prom-client takes longer than some of what is counted.
 */
export function countLater(total: Counter, names: readonly string[]) {
  const root = createCount();
  return {
    add(...values: string[]) {
      let count = root;
      for (const value of values) {
        let next = count.byNextLabel.get(value);
        if (next === undefined) count.byNextLabel.set(value, (next = createCount()));
        count = next;
      }
      count.untold++;
    },
    flush: () => flush(root, {}, 0),
  };

  function flush(count: Count, labels: Record<string, string>, depth: number): void {
    const name = names[depth];
    if (name === undefined) {
      if (count.untold > 0) total.inc(labels, count.untold);
      count.untold = 0;
    } else
      for (const [value, next] of count.byNextLabel)
        flush(next, { ...labels, [name]: value }, depth + 1);
  }
}

/**
 * Observes many values of one label at a time, which takes less than to observe each as it comes,
 * between other work.
 */
export function observeLater(histogram: Histogram, name: string) {
  const byLabel = new Map<string, number[]>();
  return {
    observe(label: string, value: number) {
      let values = byLabel.get(label);
      if (values === undefined) byLabel.set(label, (values = []));
      values.push(value);
      if (values.length === MAX_DEFERRED) observeAll(label, values);
    },
    flush() {
      for (const [label, values] of byLabel) observeAll(label, values);
    },
  };

  function observeAll(label: string, values: number[]): void {
    const labels = { [name]: label };
    for (const value of values) histogram.observe(labels, value);
    values.length = 0;
  }
}

/** A count for each combination of labels, as a tree: to look it up makes no key. */
interface Count {
  /** Where all labels are given: what was counted since the metrics were last read. */
  untold: number;
  readonly byNextLabel: Map<string, Count>;
}

function createCount(): Count {
  return { untold: 0, byNextLabel: new Map() };
}

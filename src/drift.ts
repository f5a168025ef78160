import type { Log } from './log.ts';

/** How often a field differed from the specification in one way. */
export interface DriftCount {
  /** The path of the field, without indices, such as `messages.type`. */
  field: string;
  /**
   * What was found there: a kind of JSON, or `blank`, `unreadable`, `out of range`, `unknown
   * value`.
   */
  found: string;
  count: number;
}

/**
 * Counts differences of upstream's rows from its specification, so that operators notice a change.
 */
export interface Drift {
  /**
   * Counts one field of one row. Logged as a warning the first time, and for each new enum value.
   */
  record(field: string, found: string, value?: string): void;
  /**
   * All counts since the start. There are few fields and kinds, so they can be labels of a metric.
   */
  counts(): readonly Readonly<DriftCount>[];
}

// Bounded, so that an upstream which sends a new value in every row cannot fill the memory or the
// log.
const MAX_LOGGED_VALUES = 100;
// Enum values are words. Anything else may be personal data, which must not be logged.
const ENUM_VALUE = /^[\w .-]{1,40}$/;

/** Counters that start at zero; warnings go to `log`. */
export function createDrift(log: Pick<Log, 'warn'>): Drift {
  const counts = new Map<string, DriftCount>();
  const loggedValues = new Set<string>();

  return {
    record(field, found, value) {
      const key = `${field}\n${found}`;
      const known = counts.get(key);
      if (known) known.count++;
      else counts.set(key, { field, found, count: 1 });
      if (value !== undefined) logValue(field, found, value);
      else if (!known) log.warn({ field, found }, "upstream's rows differ from the specification");
    },
    counts: () => [...counts.values()],
  };

  function logValue(field: string, found: string, value: string): void {
    const loggable = ENUM_VALUE.test(value) ? value : '(not a word)';
    const key = `${field}\n${loggable}`;
    if (loggedValues.has(key) || loggedValues.size >= MAX_LOGGED_VALUES) return;
    loggedValues.add(key);
    log.warn({ field, found, value: loggable }, 'upstream sent an unknown enum value');
  }
}

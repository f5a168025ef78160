import type { ExecutionResult } from 'graphql';

/** A text, and whether each character of it is one byte in UTF-8. */
export interface Text {
  readonly text: string;
  readonly isAscii: boolean;
}

// oxlint-disable-next-line no-control-regex
const ASCII = /^[\x00-\x7f]*$/;

const known = new WeakMap<ExecutionResult, Text>();
let last: { result: ExecutionResult; json: Text } | null = null;

/**
 * The JSON of a result. A result that several subscribers share is serialised once for all
 * transports.
 */
export function jsonOf(result: ExecutionResult): Text {
  // Subscribers of one event come one after another.
  if (last?.result === result) return last.json;
  const json = known.get(result) ?? toText(JSON.stringify(result));
  known.set(result, json);
  last = { result, json };
  return json;
}

export function toText(text: string): Text {
  return { text, isAscii: ASCII.test(text) };
}

/** The place of an element of a JSON array in its bytes, and how deep its values are nested. */
export interface JsonSlice {
  start: number;
  /** Exclusive. */
  end: number;
  /** 1 for an object or array that holds no other. */
  depth: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Finds the objects of a JSON array without parsing them. Null if the bytes are not an array of
 * objects and arrays, or are invalid between its elements; the elements themselves may still be
 * invalid. Stops after the first `most` elements.
 */
export function sliceArray(bytes: Buffer, most = Infinity): JsonSlice[] | null {
  const slices: JsonSlice[] = [];
  let at = skipBlanks(bytes, 0);
  if (bytes[at] !== OPEN_BRACKET) return null;
  at = skipBlanks(bytes, at + 1);
  if (bytes[at] === CLOSE_BRACKET) return isBlankFrom(bytes, at + 1) ? slices : null;
  for (;;) {
    if (slices.length >= most) return slices;
    const slice = sliceElement(bytes, at);
    if (slice === null) return null;
    slices.push(slice);
    at = skipBlanks(bytes, slice.end);
    if (bytes[at] === CLOSE_BRACKET) return isBlankFrom(bytes, at + 1) ? slices : null;
    if (bytes[at] !== COMMA) return null;
    at = skipBlanks(bytes, at + 1);
  }
}

function sliceElement(bytes: Buffer, start: number): JsonSlice | null {
  let level = 0;
  let depth = 0;
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      // Skip strings, where brackets have no meaning.
      for (at++; at < bytes.length && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth = Math.max(depth, ++level);
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      if (--level === 0) return { start, end: at + 1, depth };
    }
    if (level <= 0) return null;
  }
  return null;
}

function skipBlanks(bytes: Buffer, from: number): number {
  let at = from;
  while (isBlank(bytes[at])) at++;
  return at;
}

function isBlankFrom(bytes: Buffer, from: number): boolean {
  return skipBlanks(bytes, from) === bytes.length;
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** The value with everything nested deeper than `depth` replaced by null. */
export function limitDepth(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return null;
  if (Array.isArray(value)) return value.map(item => limitDepth(item, depth - 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, limitDepth(item, depth - 1)]),
  );
}

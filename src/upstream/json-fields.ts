/**
 * Told of each field that is not as specified and was read by a fallback: its path without indices, such
 * as `messages.type`; what was found there, a word out of few; and for an enum value that is new, the value.
 */
export type OnFallback = (field: string, found: string, value?: string) => void;

/** A JSON object, nothing known of its members. */
export type JsonObject = Record<string, unknown>;

/** What kind of JSON a value is; `missing` where there is none. */
export function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A text; null where there is none. A number or boolean is written out. */
export function readText(value: unknown, field: string, onFallback: OnFallback): string | null {
  if (typeof value === 'string' || value === null) return value;
  onFallback(field, kindOf(value));
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
}

/** A text that must say something: null where it is blank, too. A number is written out. */
export function readWord(value: unknown, field: string, onFallback: OnFallback): string | null {
  if (typeof value === 'string') {
    if (value.trim() !== '') return value;
    onFallback(field, 'blank');
    return null;
  }
  onFallback(field, kindOf(value));
  return typeof value === 'number' ? String(value) : null;
}

/** The known name that a word means, whatever its case; UNKNOWN for one that upstream has added since. */
export function readEnum<const T extends readonly string[]>(
  known: T,
  word: string,
  field: string,
  onFallback: OnFallback,
): T[number] | 'UNKNOWN' {
  const found = known.find(name => name === word) ?? known.find(name => fold(name) === fold(word));
  if (found === undefined) onFallback(field, 'unknown value', word);
  return found ?? 'UNKNOWN';
}

/** A free object, passed on as it is; empty where something else is found. */
export function readObject(value: unknown, field: string, onFallback: OnFallback): JsonObject {
  if (isObject(value)) return value;
  onFallback(field, kindOf(value));
  return {};
}

/** A list, its items read one by one. What is no list is one of a single item; an item read as null is left out. */
export function readList<T>(
  value: unknown,
  field: string,
  onFallback: OnFallback,
  readItem: (item: unknown) => T | null,
): T[] {
  if (!Array.isArray(value)) onFallback(field, kindOf(value));
  const items: unknown[] = Array.isArray(value) ? value : [value ?? []].flat();
  const list: T[] = [];
  for (const item of items) {
    const read = readItem(item);
    if (read !== null) list.push(read);
    else onFallback(`${field}[]`, kindOf(item));
  }
  return list;
}

/** A whole percentage, 0–100, of a number or a text such as `50` or `50 %`; 0 where there is none. */
export function readPercent(value: unknown, field: string, onFallback: OnFallback): number {
  const given = typeof value === 'string' ? numberIn(value) : value;
  const isNumber = typeof given === 'number' && Number.isFinite(given);
  const percent = isNumber ? Math.min(100, Math.max(0, Math.round(given))) : 0;
  if (typeof value !== 'number') onFallback(field, kindOf(value));
  else if (!isNumber || given < 0 || given > 100) onFallback(field, 'out of range');
  return percent;
}

function numberIn(text: string): number {
  return Number(/^\s*(-?\d+(?:\.\d+)?)\s*%?\s*$/.exec(text)?.[1]);
}

// Upstream's services write SUCCESS and Success, TEMPERROR and TEMP_ERROR, WARN and Warning.
function fold(name: string): string {
  const folded = name
    .trim()
    .toUpperCase()
    .replaceAll(/[_\s-]/g, '');
  return folded === 'WARNING' ? 'WARN' : folded;
}

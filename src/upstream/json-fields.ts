/**
 * Called for each field that differs from the specification. `field` is its path without indices,
 * such as `messages.type`; `found` is one of a few words; `value` is set for a new enum value.
 */
export type OnFallback = (field: string, found: string, value?: string) => void;

/** A JSON object with unknown members. */
export type JsonObject = Record<string, unknown>;

/** The JSON type of a value; `missing` if there is none. */
export function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A string, or null if there is none. Numbers and booleans are converted. */
export function readText(value: unknown, field: string, onFallback: OnFallback): string | null {
  if (typeof value === 'string' || value === null) return value;
  onFallback(field, kindOf(value));
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
}

/** A string that is not blank, or null if there is none. Numbers are converted. */
export function readWord(value: unknown, field: string, onFallback: OnFallback): string | null {
  if (typeof value === 'string') {
    if (value.trim() !== '') return value;
    onFallback(field, 'blank');
    return null;
  }
  onFallback(field, kindOf(value));
  return typeof value === 'number' ? String(value) : null;
}

/**
 * The known enum value, compared without case and underscores; UNKNOWN if upstream has added it
 * since.
 */
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

/** A free-form object, passed on unchanged; empty if something else is found. */
export function readObject(value: unknown, field: string, onFallback: OnFallback): JsonObject {
  if (isObject(value)) return value;
  onFallback(field, kindOf(value));
  return {};
}

/**
 * A list, read item by item. A single value is read as a list of one; items read as null are left
 * out.
 */
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

/** An integer 0–100 from a number or a string such as `50` or `50 %`; 0 if there is none. */
export function readPercent(value: unknown, field: string, onFallback: OnFallback): number {
  const given = typeof value === 'string' ? numberIn(value) : value;
  const isNumber = typeof given === 'number' && Number.isFinite(given);
  const percent = isNumber ? Math.min(100, Math.max(0, Math.round(given))) : 0;
  if (typeof value !== 'number') onFallback(field, kindOf(value));
  else if (!isNumber || given < 0 || given > 100) onFallback(field, 'out of range');
  return percent;
}

function numberIn(text: string): number {
  return Number(/^(-?\d+(?:\.\d+)?)\s*%?$/.exec(text.trim())?.[1]);
}

// Upstream's services write SUCCESS and Success, TEMPERROR and TEMP_ERROR, WARN and Warning.
function fold(name: string): string {
  const folded = name
    .trim()
    .toUpperCase()
    .replaceAll(/[_\s-]/g, '');
  return folded === 'WARNING' ? 'WARN' : folded;
}

// A mistake of upstream must not pause a whole client for longer than this.
const MAX_SECONDS = 3_600;
const HTTP_DATE = /^[a-z]{3,9},? .*\d\d:\d\d:\d\d/i;
const ISO_DATE = /^\d{4}-\d\d-\d\dT/;

/**
 * Reads a Retry-After header, in seconds or as a date, relative to `now` in milliseconds since the
 * epoch. Returns whole seconds, 1–3600; null if it is missing or invalid.
 */
export function readRetryAfter(header: string | null, now: number): number | null {
  const text = header?.trim() ?? '';
  // Check the form first: Date.parse() accepts almost any text with a number.
  const seconds = /^\d+(\.\d*)?$/.test(text)
    ? Number(text)
    : HTTP_DATE.test(text) || ISO_DATE.test(text)
      ? (Date.parse(text) - now) / 1000
      : NaN;
  return seconds > 0 ? Math.min(MAX_SECONDS, Math.ceil(seconds)) : null;
}

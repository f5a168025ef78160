// A pause of a whole client may not be longer: a slip of upstream's would end all service for as long.
const MAX_SECONDS = 3_600;
const HTTP_DATE = /^[a-z]{3,9},? .*\d\d:\d\d:\d\d/i;
const ISO_DATE = /^\d{4}-\d\d-\d\dT/;

/**
 * Whole seconds, 1–3600, that a Retry-After of seconds or a date asks to wait at `now`, in
 * milliseconds since the epoch; null where it says nothing that can be used.
 */
export function readRetryAfter(header: string | null, now: number): number | null {
  const text = header?.trim() ?? '';
  // Date.parse() takes almost anything that has a number in it for a date.
  const seconds = /^\d+(\.\d*)?$/.test(text)
    ? Number(text)
    : HTTP_DATE.test(text) || ISO_DATE.test(text)
      ? (Date.parse(text) - now) / 1000
      : NaN;
  return seconds > 0 ? Math.min(MAX_SECONDS, Math.ceil(seconds)) : null;
}

import type { Instant } from '../task/task.ts';

// `YYYY-MM-DD`, optionally with a time: T or a space, `hh:mm`, seconds with any fraction, and an
// optional offset: `Z`, `±hh`, `±hhmm` or `±hh:mm`. Hyphens and colons are optional, as in ISO
// 8601's basic form. The zone in brackets that Java appends only repeats the offset.
const ISO_DATE =
  /^(\d{4})-?(\d\d)-?(\d\d)(?:(?:t|\s+)(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?\s*(z|utc|gmt|[+-]\d\d(?::?\d\d)?)?)?(?:\[[\w/+:-]+\])?$/i;
// RFC 1123, as in HTTP headers and mail: `Thu, 20 Aug 2026 06:00:00 GMT`.
const HTTP_DATE =
  /^(?:[a-z]{3,9},?\s+)?(\d{1,2})[\s-]([a-z]{3})[\s-](\d{4})\s+(\d\d):(\d\d)(?::(\d\d))?\s*(z|utc?|gmt|[+-]\d{4})?$/i;
const NUMBER = /^[+-]?\d+(?:\.\d+)?$/;
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

// Smaller numbers are seconds; as milliseconds they would be before March 1973.
const MAX_EPOCH_SECONDS = 100_000_000_000;
// The years of RFC 3339, 0000 to 9999.
const FIRST_INSTANT = -62_167_219_200_000;
const LAST_INSTANT = 253_402_300_799_999;

/**
 * The moment of a date as upstream writes it; null if it cannot be read. The form of a date depends
 * on the service behind upstream's gateway. A date without an offset is in UTC.
 */
export function readInstant(value: unknown): Instant | null {
  const instant =
    typeof value === 'number'
      ? fromEpoch(value)
      : typeof value === 'string'
        ? fromText(value.trim())
        : NaN;
  return instant >= FIRST_INSTANT && instant <= LAST_INSTANT ? instant : null;
}

function fromEpoch(value: number): number {
  return Math.round(Math.abs(value) < MAX_EPOCH_SECONDS ? value * 1_000 : value);
}

function fromText(text: string): number {
  if (isUsualForm(text)) {
    // Ten times as fast as the expression below, but it reads February 31 as March 3.
    const instant = Date.parse(text);
    if (new Date(instant).getUTCDate() === Number(text.slice(8, 10))) return instant;
  }
  const iso = ISO_DATE.exec(text);
  if (iso) {
    const [, year, month, day, hour, minute, second, fraction, offset] = iso;
    return fromParts([year, month, day, hour, minute, second], fraction, offset);
  }
  if (NUMBER.test(text)) return fromEpoch(Number(text));
  const [, day, name = '', year, hour, minute, second, offset] = HTTP_DATE.exec(text) ?? [];
  const month = MONTHS.indexOf(name.toLowerCase()) + 1;
  return fromParts([year, String(month), day, hour, minute, second], undefined, offset);
}

/** The form that nearly all dates have, `2026-08-20T06:00:00.412Z`. */
function isUsualForm(text: string): boolean {
  return text.length === 24 && text[4] === '-' && text[10] === 'T' && text[23] === 'Z';
}

function fromParts(
  parts: (string | undefined)[],
  fraction: string | undefined,
  offset: string | undefined,
): number {
  const [year = NaN, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.map(part =>
    part === undefined ? undefined : Number(part),
  );
  const offsetMinutes = readOffset(offset);
  // 24:00 is the end of a day; second 60 is a leap second.
  const isTime =
    minute <= 59 && second <= 60 && (hour <= 23 || (hour === 24 && minute + second === 0));
  if (!isTime || offsetMinutes === null) return NaN;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  // `setUTCFullYear` reads February 31 as March 3.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return NaN;
  // Digits finer than a millisecond are dropped.
  const milliseconds = fraction === undefined ? 0 : Number(`${fraction}00`.slice(0, 3));
  return date.setUTCHours(hour, minute - offsetMinutes, second, milliseconds);
}

/** Minutes east of UTC; null if out of range. */
function readOffset(offset = 'z'): number | null {
  const [, sign, hours, minutes = '0'] = /^([+-])(\d\d):?(\d\d)?$/.exec(offset) ?? [];
  if (sign === undefined) return 0;
  if (Number(hours) > 23 || Number(minutes) > 59) return null;
  return (sign === '-' ? -1 : 1) * (60 * Number(hours) + Number(minutes));
}

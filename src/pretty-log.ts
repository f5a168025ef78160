import type { LineStream } from './standard-output.ts';

interface LogRecord {
  level: string;
  time: string;
  msg?: string;
  [field: string]: unknown;
}

/** Rewrites lines of JSON for people: time, level, message, then the fields. */
export function createPrettyStream(to: LineStream): LineStream {
  return { write: line => to.write(toPrettyLine(line)) };
}

/** One line of JSON as `16:40:01.123 WARN  message  field=value`. */
export function toPrettyLine(line: string): string {
  const { level, time, msg = '', ...fields } = JSON.parse(line) as LogRecord;
  const at = time.slice(11, 23);
  const values = Object.entries(fields)
    .filter(([, value]) => value !== null && !(Array.isArray(value) && value.length === 0))
    .map(([name, value]) => `${name}=${toText(value)}`);
  const head = `${at} ${level.toUpperCase().padEnd(5)} ${msg}`;
  return `${[head, ...values].join('  ')}\n`;
}

function toText(value: unknown): string {
  if (Array.isArray(value)) return value.map(toText).join(',');
  if (typeof value === 'object' && value !== null && 'stack' in value)
    return `\n${String(value.stack)}`;
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return /\s/.test(text) ? JSON.stringify(text) : text;
}

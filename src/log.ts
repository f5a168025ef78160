import { type Logger, destination, pino } from 'pino';
import { type LineStream, createPrettyStream } from './pretty-log.ts';

/** Structured log lines on standard output. They never hold a token, a header or a body. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** `json`: a JSON object per line. `pretty`: a line for people. */
export const LOG_FORMATS = ['json', 'pretty'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

// Lines are written together: a system call for each would cost more than the line itself.
const BUFFER_BYTES = 61_440;
const MAX_WRITE_BYTES = 65_536;
const FLUSH_EVERY_MS = 100;

/** A log that writes lines of `level` and above. */
export function createLog(level: LogLevel, format: LogFormat = 'json'): Log {
  if (level === 'silent') return pino({ enabled: false });
  const stdout = openStdout();
  return pino(
    {
      level,
      base: null,
      timestamp: createTimestamp(),
      formatters: { level: label => ({ level: label }) },
    },
    format === 'pretty' ? createPrettyStream(stdout) : stdout,
  );
}

function openStdout(): LineStream {
  const stdout = destination({
    fd: 1,
    sync: false,
    minLength: BUFFER_BYTES,
    maxWrite: MAX_WRITE_BYTES,
    periodicFlush: FLUSH_EVERY_MS,
    contentMode: 'buffer',
  }) as unknown as { write(line: Buffer): boolean };
  // Of strings, the library would measure all that wait for the next write again with each line.
  return { write: line => stdout.write(Buffer.from(line)) };
}

/** The field `time` of a line. Under load many lines are of the same millisecond. */
function createTimestamp(): () => string {
  let lastMs = Number.NaN;
  let field = '';
  return () => {
    const now = Date.now();
    if (now === lastMs) return field;
    lastMs = now;
    return (field = `,"time":"${new Date(now).toISOString()}"`);
  };
}

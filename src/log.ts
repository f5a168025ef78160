import { type Logger, destination, pino } from 'pino';
import { createPrettyStream } from './pretty-log.ts';

/** Structured log lines on standard output. They never hold a token, a header or a body. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** `json`: a JSON object per line. `pretty`: a line for people. */
export const LOG_FORMATS = ['json', 'pretty'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

// Lines are written together: a system call for each would cost more than the line itself. The library writes 16 kB at
// most at once.
const BUFFER_BYTES = 15_360;
const FLUSH_EVERY_MS = 100;

/** A log that writes lines of `level` and above. */
export function createLog(level: LogLevel, format: LogFormat = 'json'): Log {
  if (level === 'silent') return pino({ enabled: false });
  const stdout = destination({
    fd: 1,
    sync: false,
    minLength: BUFFER_BYTES,
    periodicFlush: FLUSH_EVERY_MS,
  });
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
    },
    format === 'pretty' ? createPrettyStream(stdout) : stdout,
  );
}

import { type Logger, destination, pino } from 'pino';
import { type LineStream, createPrettyStream } from './pretty-log.ts';

/** Structured log lines on standard output. They never hold a token, a header or a body. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

/** The log of a program. */
export interface ProgramLog extends Log {
  /** Resolves when no write is pending: if the process exits now, its last lines are written. */
  drained(): Promise<void>;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** `json`: a JSON object per line. `pretty`: a line for people. */
export const LOG_FORMATS = ['json', 'pretty'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

// Lines are written together: a system call for each would cost more than the line itself.
const BUFFER_BYTES = 61_440;
const MAX_WRITE_BYTES = 65_536;
const FLUSH_EVERY_MS = 250;

/** A log that writes lines of `level` and above. */
export function createLog(level: LogLevel, format: LogFormat = 'json'): ProgramLog {
  if (level === 'silent')
    return Object.assign(pino({ enabled: false }), { drained: () => Promise.resolve() });
  const { drained, ...stdout } = openStdout();
  const log = pino(
    {
      level,
      base: null,
      timestamp: createTimestamp(),
      formatters: { level: label => ({ level: label }) },
    },
    format === 'pretty' ? createPrettyStream(stdout) : stdout,
  );
  return Object.assign(log, { drained });
}

function openStdout(): LineStream & Pick<ProgramLog, 'drained'> {
  const stdout = destination({
    fd: 1,
    sync: false,
    minLength: BUFFER_BYTES,
    maxWrite: MAX_WRITE_BYTES,
    periodicFlush: FLUSH_EVERY_MS,
    contentMode: 'buffer',
  });
  return {
    // Of strings, the library would measure all that wait for the next write again with each line. In this mode it
    // takes buffers, which its types do not say.
    write: line => stdout.write(Buffer.from(line) as unknown as string),
    // At the exit the library writes the lines that wait for a write, but not the rest of a write that is pending.
    drained: () =>
      new Promise(resolve => {
        stdout.once('drain', resolve).once('error', () => resolve());
        stdout.flush();
      }),
  };
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

import { type Logger, pino } from 'pino';
import { createPrettyStream } from './pretty-log.ts';
import { type StandardOutput, openStandardOutput } from './standard-output.ts';

/** Structured log lines on standard output. They never hold a token, a header or a body. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

/** The log of a program. */
export interface ProgramLog extends Log, Pick<StandardOutput, 'drained'> {
  /**
   * Writes a line at `info` whose fields, `msg` among them, are JSON already: an object's, without
   * its braces.
   */
  infoJson(fields: string): void;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** `json`: a JSON object per line. `pretty`: a line for people. */
export const LOG_FORMATS = ['json', 'pretty'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export function isProgramLog(log: Partial<Log>): log is ProgramLog {
  return 'infoJson' in log;
}

/** A log that writes lines of `level` and above. */
export function createLog(level: LogLevel, format: LogFormat = 'json'): ProgramLog {
  if (level === 'silent')
    return Object.assign(pino({ enabled: false }), {
      infoJson: () => {},
      drained: () => Promise.resolve(),
    });
  const { drained, ...stdout } = openStandardOutput(bytes =>
    log.warn({ bytes }, 'lines of the log were lost, because they could not be written'),
  );
  const lines = format === 'pretty' ? createPrettyStream(stdout) : stdout;
  const timestamp = createTimestamp();
  const log = pino(
    { level, base: null, timestamp, formatters: { level: label => ({ level: label }) } },
    lines,
  );
  const infoJson = log.isLevelEnabled('info')
    ? (fields: string) => void lines.write(`{"level":"info"${timestamp()},${fields}}\n`)
    : () => {};
  return Object.assign(log, { infoJson, drained });
}

/** The field `time` of a line. To format a date takes longer than the rest of a line's way here. */
function createTimestamp(): () => string {
  let lastSecond = Number.NaN;
  let start = '';
  return () => {
    const now = Date.now();
    const second = Math.floor(now / 1000);
    if (second !== lastSecond) {
      lastSecond = second;
      start = `,"time":"${new Date(now).toISOString().slice(0, -4)}`;
    }
    return `${start}${String(now % 1000).padStart(3, '0')}Z"`;
  };
}

import { type Logger, destination, pino } from 'pino';
import { type LineStream, createPrettyStream } from './pretty-log.ts';

/** Structured log lines on standard output. They never hold a token, a header or a body. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

/** The log of a program. */
export interface ProgramLog extends Log {
  /**
   * Writes a line at `info` whose fields, `msg` among them, are JSON already: an object's, without
   * its braces.
   */
  infoJson(fields: string): void;
  /** Resolves when no write is pending: if the process exits now, its last lines are written. */
  drained(): Promise<void>;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** `json`: a JSON object per line. `pretty`: a line for people. */
export const LOG_FORMATS = ['json', 'pretty'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

// Lines are written in blocks: a system call for each would cost more than the line itself. A pipe
// holds as much.
const BLOCK_BYTES = 65_536;
const BLOCK_EVERY_MS = 250;
const MAX_BYTES_PER_CHARACTER = 3;
// What waits for a reader that has stopped, or for space on a disk that is full. More is dropped.
const MAX_WAITING_BYTES = 32 * 1_048_576;

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
  const { drained, ...stdout } = openStdout(bytes =>
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

/** `onLost` is called when lines can be written again after so many bytes of others were dropped. */
function openStdout(onLost: (bytes: number) => void): LineStream & Pick<ProgramLog, 'drained'> {
  const stdout = destination({
    fd: 1,
    sync: false,
    // With the default of 0, `flush` would not tell when a write that is pending has ended.
    minLength: 1,
    maxLength: MAX_WAITING_BYTES,
    contentMode: 'buffer',
  });
  let block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  let filled = 0;
  let isFailing = false;
  let lostBytes = 0;
  stdout
    // The program serves on without its log: what waits is tried again with the next block.
    .on('error', error => {
      if (!isFailing) sayOnStderr(error);
      isFailing = true;
    })
    .on('write', () => (isFailing = false))
    .on('drop', ({ length }) => (lostBytes += length))
    .on('drain', () => {
      if (lostBytes === 0) return;
      onLost(lostBytes);
      lostBytes = 0;
    });
  // Lines that are printed, too, may find no space or no reader.
  process.stdout.on('error', () => {});
  setInterval(writeBlock, BLOCK_EVERY_MS).unref();
  // Before the library writes what waits, which it does at the exit too, and for ever if it fails.
  process.prependOnceListener('exit', () => {
    if (isFailing) stdout.destroy();
    else writeBlock();
  });
  return {
    // Lines are copied at once: the library would keep a buffer of each, and join them later.
    write(line) {
      const maxBytes = line.length * MAX_BYTES_PER_CHARACTER;
      if (filled + maxBytes > BLOCK_BYTES) writeBlock();
      if (maxBytes > BLOCK_BYTES) write(Buffer.from(line));
      else filled += block.write(line, filled);
    },
    // At the exit the library writes the blocks that wait, but not the rest of a write that is pending.
    drained: () =>
      new Promise(resolve => {
        writeBlock();
        stdout.once('drain', resolve).once('error', () => resolve());
        stdout.flush();
      }),
  };

  function writeBlock(): void {
    if (filled === 0) return;
    write(block.subarray(0, filled));
    block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    filled = 0;
  }

  function write(bytes: Buffer): void {
    // In this mode the library takes buffers, which its types do not say. Strings it would measure
    // again with each write.
    stdout.write(bytes as unknown as string);
  }
}

function sayOnStderr({ code }: NodeJS.ErrnoException): void {
  process.stderr.once('error', () => {});
  process.stderr.write(`The log cannot be written to standard output (${code})\n`);
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

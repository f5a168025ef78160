import { destination } from 'pino';

/** Takes whole lines. */
export interface LineStream {
  write(line: string): unknown;
}

/** Lines are written in blocks, within a quarter of a second. */
export interface StandardOutput extends LineStream {
  /** Resolves when no write is pending: if the process exits now, its last lines are written. */
  drained(): Promise<void>;
}

// Lines are written in blocks: a system call for each would cost more than the line itself. A pipe
// holds as much.
const BLOCK_BYTES = 65_536;
const BLOCK_EVERY_MS = 250;
const MAX_BYTES_PER_CHARACTER = 3;
// What waits for a reader that has stopped, or for space on a disk that is full. More is dropped.
const MAX_WAITING_BYTES = 32 * 1_048_576;

/**
 * Opens the standard output of the process for lines. The program goes on if they cannot be
 * written. `onLost` is called when they can be again, after so many bytes of others were dropped.
 */
export function openStandardOutput(onLost: (bytes: number) => void): StandardOutput {
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

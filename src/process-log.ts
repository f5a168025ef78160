import type { Log } from './log.ts';

/**
 * Writes to the log what Node would print on stderr: warnings, and the error that ends the process.
 * `exit` is called after the latter.
 */
export function logProcess(log: Log, exit: () => void): void {
  // Node's own listener is the one that prints.
  process.removeAllListeners('warning');
  process.on('warning', ({ name, message, ...more }) => {
    const { code } = more as { code?: string };
    log.warn({ warning: name, ...(code === undefined ? {} : { code }) }, message);
  });
  // Unhandled rejections arrive here too.
  process.on('uncaughtException', error => {
    log.error({ err: error }, 'the process ends because of an uncaught exception');
    exit();
  });
}

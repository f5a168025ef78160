import type { Log } from './log.ts';

/**
 * Logs when traces begin to be lost, and when they are not any more. Call it after each attempt to
 * send some.
 */
export function createTraceLog(log: Pick<Log, 'info' | 'warn'>): (cause: string | null) => void {
  let isFailing = false;
  return cause => {
    if ((cause !== null) === isFailing) return;
    isFailing = cause !== null;
    if (isFailing) log.warn({ cause }, 'traces cannot be sent to the collector');
    else log.info('traces are sent to the collector again');
  };
}

import type { Log } from '../../src/log.ts';

/** A log line: its level, its message, and its fields. */
export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error';
  message: string;
  [field: string]: unknown;
}

/** A log that keeps its lines for a test to read. */
export interface CapturedLog extends Log {
  lines: LogLine[];
}

export function createCapturedLog(): CapturedLog {
  const lines: LogLine[] = [];
  const at =
    (level: LogLine['level']) =>
    (fields: object | string, message = '') =>
      void lines.push(
        typeof fields === 'string' ? { level, message: fields } : { ...fields, level, message },
      );
  return {
    lines,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  } as CapturedLog;
}

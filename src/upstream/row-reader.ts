import { hash } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import { type Row, UnreadableTask, readRow } from './wire.ts';
import type { OnFallback } from './json-fields.ts';
import { limitDepth, sliceArray } from './json-slices.ts';

/** Reads tasks from bodies, each distinct row once. */
export interface RowReader {
  /**
   * The rows of a list, `most` at the most: what upstream sends beyond the limit that it was asked for is not
   * read. A body that is not a JSON array throws UPSTREAM_INVALID_RESPONSE.
   */
  rows(body: Buffer, most?: number): Row[];
  /** The one row of a body. A body that is not JSON throws UPSTREAM_INVALID_RESPONSE. */
  row(body: Buffer): Row;
}

/** Deeper values of a row are read as null: what follows (comparing, serialising) recurses. */
const MAX_DEPTH = 64;
// Parsed, JSON takes many times its length in memory: nothing longer is, neither a row nor a list that is odd.
const MAX_WHOLE_BYTES = 4 * 1_048_576;

/**
 * A poll reads the same rows again and again, and few of them have changed. So a row is hashed before it
 * is parsed, and a row whose bytes were read before is the task that was made of them, as long as a watch
 * or the memory still holds that task. Callers compare tasks by identity or `etag` first.
 */
export function createRowReader(onFallback?: OnFallback): RowReader {
  // Weak: it keeps nothing alive, and so is never larger than what is in use anyway.
  const tasks = new Map<string, WeakRef<Row & object>>();
  const collected = new FinalizationRegistry<string>(etag => {
    if (tasks.get(etag)?.deref() === undefined) tasks.delete(etag);
  });

  return {
    rows(body, most = Infinity) {
      const slices = sliceArray(body, most);
      if (slices !== null)
        return slices.map(({ start, end, depth }) =>
          end - start > MAX_WHOLE_BYTES ? tooLong() : read(body.subarray(start, end), depth),
        );
      if (body.length > MAX_WHOLE_BYTES)
        throw invalid('Upstream answered a list with something else.');
      const rows = parse(body);
      if (!Array.isArray(rows)) throw invalid('Upstream answered a list with something else.');
      return rows.slice(0, most).map(row => readRow(limitDepth(row, MAX_DEPTH), onFallback));
    },
    row: body => (body.length > MAX_WHOLE_BYTES ? tooLong() : read(body, Infinity)),
  };

  function read(bytes: Buffer, depth: number): Row {
    const etag = hash('sha256', bytes, 'base64');
    const known = tasks.get(etag)?.deref();
    if (known !== undefined) return known;
    const json = parse(bytes);
    const row = readRow(depth > MAX_DEPTH ? limitDepth(json, MAX_DEPTH) : json, onFallback);
    if (row instanceof UnreadableTask) return row;
    const task = Object.assign(row, { etag, wireBytes: bytes.length });
    tasks.set(etag, new WeakRef(task));
    collected.register(task, etag);
    return task;
  }
}

function tooLong(): UnreadableTask {
  return new UnreadableTask(
    null,
    invalid('Upstream answered with a task that is too long to be read.'),
  );
}

/** A body as JSON. Throws UPSTREAM_INVALID_RESPONSE if it is not JSON. */
export function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch (cause) {
    throw invalid('Upstream answered with something that is not JSON.', cause);
  }
}

function invalid(message: string, cause?: unknown): GatewayError {
  return new GatewayError('UPSTREAM_INVALID_RESPONSE', message, { cause });
}

import type { AccountAggregation } from '../task/account-aggregation.ts';
import type { Task } from '../task/task.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { UnreadableTask } from '../upstream/wire.ts';
import type { OperationIdentity } from '../usage.ts';

/** A response as it was sent. */
export interface KeptResponse {
  json: string;
  /** The compressed form that was asked for first; null before. */
  compressed: { coding: string; body: Promise<Buffer> } | null;
  operation: OperationIdentity;
}

/** What memory holds of one answer. */
export type Answer = { requestedAt: number } & (
  | { task: Task | null }
  | { page: TaskPage; limit: number; isCounted: boolean }
  | { count: number | null }
  | { response: KeptResponse; freshUntil: number }
  | { aggregation: AccountAggregation | null; isFinal: boolean }
);
// A parsed task takes about twice the bytes of its JSON, plus keys and bookkeeping.
const HEAP_PER_WIRE_BYTE = 2;
const ENTRY_BYTES = 200;

/** The estimated memory use of an entry, in bytes. */
export function bytesOf(key: string, answer: Answer): number {
  // The JSON and its compressed form.
  if ('response' in answer) return 2 * (key.length + answer.response.json.length) + 2 * ENTRY_BYTES;
  if ('aggregation' in answer || 'count' in answer) return 2 * key.length + 2 * ENTRY_BYTES;
  const rows = 'page' in answer ? answer.page.rows : [answer.task];
  const wireBytes = rows.map(row =>
    row === null || row instanceof UnreadableTask ? 0 : row.wireBytes,
  );
  return wireBytes.reduce(
    (sum, bytes) => sum + HEAP_PER_WIRE_BYTE * bytes + ENTRY_BYTES,
    2 * key.length + ENTRY_BYTES,
  );
}

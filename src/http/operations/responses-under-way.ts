import type { KeptResponse } from '../../session/memory-entry.ts';
import type { Session } from '../../session/session.ts';
import type { Sessions } from '../../session/sessions.ts';
import type { OperationRecord } from '../observation/operation-records.ts';
import type { RequestedOperation } from './kept-responses.ts';
import type { QueryClient } from './known-queries.ts';

/**
 * Queries that are being executed, whose response the same query of the same credential may share.
 * It may as long as nothing of the response can be older than it: nothing was read from memory or
 * answered by upstream.
 *
 * Who shares a response is not counted as a running operation, and its cost is not checked: it
 * executes nothing, and the same document and variables were checked for the one who does.
 */
export interface ResponsesUnderWay {
  /** The query whose response this operation may share. */
  find(operation: RequestedOperation): ResponseUnderWay | undefined;
  /**
   * Lets others share the response to an operation that has begun. They wait until it is settled.
   */
  open(operation: RequestedOperation, record: OperationRecord): ResponseUnderWay | null;
}

/** A response that others wait for. */
export interface ResponseUnderWay {
  /** The response; null if this client has left, or has to execute the operation for itself. */
  share(client: QueryClient): Promise<KeptResponse | null>;
  /**
   * Gives those who wait the response, which must have no errors; null: each of them executes the
   * operation. Later calls do nothing.
   */
  settle(response: KeptResponse | null): void;
}

export function createResponsesUnderWay(sessions: Pick<Sessions, 'find'>): ResponsesUnderWay {
  const bySession = new WeakMap<Session, SessionResponses>();
  const sessionOf = ({ admission }: RequestedOperation) =>
    'credential' in admission ? sessions.find(admission.credential.key) : undefined;

  return {
    find(operation) {
      const session = operation.isFresh ? undefined : sessionOf(operation);
      const found = session && bySession.get(session)?.find(operation.body);
      if (found === undefined || found.usage.hasReceived) return undefined;
      // It may have read what was changed meanwhile.
      return session?.responses.hasChangedSince(found.usage.readAt) === true ? undefined : found;
    },
    open(operation, record) {
      const session =
        operation.isFresh || record.usage.hasReceived ? undefined : sessionOf(operation);
      // Without a session, it reads nothing.
      if (session === undefined) return null;
      const known = bySession.get(session) ?? new SessionResponses();
      bySession.set(session, known);
      return known.add(operation.body, record);
    },
  };
}

// A Map that lives long would hold on to what was removed from it (see `Bag`), so each takes so
// many and is dropped.
const MAX_ADDED = 256;

interface Batch {
  responses: Map<string, PendingResponse>;
  added: number;
}

/** The responses to operations of one credential, by the text of the operation. */
class SessionResponses {
  /** The newest last. */
  readonly #batches: Batch[] = [];

  /** The newest: it is the one that is most likely to have received nothing. */
  find(body: string): PendingResponse | undefined {
    return this.#batches.findLast(({ responses }) => responses.has(body))?.responses.get(body);
  }

  add(body: string, record: OperationRecord): PendingResponse {
    const batch = this.#open();
    const added = new PendingResponse(record, () => {
      // A newer one may have taken its place.
      if (batch.responses.get(body) === added) batch.responses.delete(body);
      if (batch.responses.size === 0) this.#drop(batch);
    });
    batch.responses.set(body, added);
    batch.added++;
    return added;
  }

  #open(): Batch {
    const last = this.#batches.at(-1);
    if (last !== undefined && last.added < MAX_ADDED) return last;
    const batch = { responses: new Map<string, PendingResponse>(), added: 0 };
    this.#batches.push(batch);
    return batch;
  }

  #drop(batch: Batch): void {
    const place = this.#batches.indexOf(batch);
    if (place >= 0) this.#batches.splice(place, 1);
  }
}

class PendingResponse implements ResponseUnderWay {
  readonly #record: OperationRecord;
  readonly #onSettled: () => void;
  #tell: ((response: KeptResponse | null) => void)[] | null = [];

  constructor(record: OperationRecord, onSettled: () => void) {
    this.#record = record;
    this.#onSettled = onSettled;
  }

  get usage(): OperationRecord['usage'] {
    return this.#record.usage;
  }

  async share(client: QueryClient): Promise<KeptResponse | null> {
    const { waitedMs } = this.usage;
    const response = await new Promise<KeptResponse | null>(resolve => {
      this.#tell?.push(resolve);
      client.onLeave(() => resolve(null));
    });
    client.record.joined(this.#record, waitedMs);
    return response;
  }

  settle(response: KeptResponse | null): void {
    const waiting = this.#tell;
    if (waiting === null) return;
    this.#tell = null;
    this.#onSettled();
    const shared = this.usage.isPersonal ? null : response;
    for (const tell of waiting) tell(shared);
  }
}

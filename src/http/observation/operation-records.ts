import { createHash } from 'node:crypto';
import {
  type DocumentNode,
  type ExecutionResult,
  type OperationDefinitionNode,
  getOperationAST,
} from 'graphql';
import type { Clock } from '../../clock.ts';
import type { ErrorCode } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Recorders } from '../../metrics.ts';
import type { Tracer } from '../../tracing.ts';
import { type OperationIdentity, OperationUsage } from '../../usage.ts';
import { codeOf } from '../access/mask-error.ts';

/** How an operation came, and how its results go. */
export type TransportName =
  | 'http'
  | 'sse'
  | 'single-connection'
  | 'multipart'
  | 'callback'
  | 'websocket';

/** What a transport knows of an operation before it is read. */
export interface OperationStart {
  transport: TransportName;
  /** The transport of a stream of results, where it differs. */
  streamTransport?: () => TransportName;
  requestId: string;
  /** The trace that the request belongs to. */
  traceparent?: string | null;
}

/** What is noted of one operation, from its arrival to its end. */
export interface OperationRecord {
  readonly usage: OperationUsage;
  /** Which operation it is, as far as it is known. */
  readonly identity: OperationIdentity;
  /** The document was parsed. */
  parsed(document: DocumentNode, operationName: string | null | undefined): void;
  /** It is the same operation as one that was identified before. */
  identifyAs(identity: OperationIdentity): void;
  /**
   * It waited for the result of the same operation of another caller, which it shares if that may
   * be shared. `waitedBefore`: the milliseconds that the other had waited for the budget until
   * then.
   */
  joined(first: OperationRecord, waitedBefore: number): void;
  /** It has a result that is no stream, or was refused with errors. Later calls do nothing. */
  end(result: Pick<ExecutionResult, 'errors'>): void;
  /** The client left before there was a result. */
  leave(): void;
  /** Its result is a stream, which has begun. */
  streamBegan(): void;
  /** A result of the stream is sent. */
  eventSent(result: Pick<ExecutionResult, 'errors'>): void;
  /**
   * The stream has ended, or its reader has left; or it was refused after it began. Later calls do
   * nothing.
   */
  streamEnded(refusal?: Pick<ExecutionResult, 'errors'>): void;
}

/** Writes a line of the log for each operation, and counts it. */
export interface OperationRecords {
  begin(start: OperationStart): OperationRecord;
  /** A request was refused before anything of its operation was known. */
  refuse(start: OperationStart, code: ErrorCode): void;
}

export interface OperationRecordsParts {
  log: Pick<Log, 'info'>;
  clock: Pick<Clock, 'monotonic'>;
  metrics: Pick<Recorders, 'operationEnded' | 'streamBegan' | 'streamEnded' | 'eventSent'>;
  /** Null: operations are not traced. */
  tracer: Tracer | null;
}

const MAX_NAME_LENGTH = 60;
const MAX_CODES = 5;
const ABORTED: readonly string[] = ['ABORTED'];
const NO_ERRORS: readonly string[] = [];
const UNKNOWN: OperationIdentity = { type: 'unknown', name: null, hash: null };

export function createOperationRecords(parts: OperationRecordsParts): OperationRecords {
  const identify = createIdentify();
  return {
    begin: start => new Recording(parts, identify, start),
    refuse: (start, code) => new Recording(parts, identify, start).refuse(code),
  };
}

type Identify = (
  document: DocumentNode,
  operationName: string | null | undefined,
) => OperationIdentity;

function createIdentify(): Identify {
  /**
   * By operation, or by document if it has no such operation. Parsed documents are kept, so that
   * each is hashed once.
   */
  const known = new WeakMap<DocumentNode | OperationDefinitionNode, OperationIdentity>();

  return (document, operationName) => {
    const operation = getOperationAST(document, operationName);
    const key = operation ?? document;
    const before = known.get(key);
    if (before !== undefined) return before;
    const identity = {
      type: operation?.operation ?? UNKNOWN.type,
      name: operation?.name?.value.slice(0, MAX_NAME_LENGTH) ?? null,
      hash: hashOf(document),
    };
    known.set(key, identity);
    return identity;
  };
}

function hashOf({ loc }: DocumentNode): string | null {
  if (loc === undefined) return null;
  return createHash('sha256').update(loc.source.body).digest('hex').slice(0, 16);
}

/**
 * A class, because every operation makes one: closures and getters in an object literal take
 * several times as long.
 */
class Recording implements OperationRecord {
  readonly usage: OperationUsage;
  readonly #parts: OperationRecordsParts;
  readonly #identify: Identify;
  readonly #start: OperationStart;
  readonly #startedAt: number;
  #identity = UNKNOWN;
  #isOver = false;
  #events = 0;
  #lastCodes = NO_ERRORS;
  /** Null while there is no stream. */
  #stream: TransportName | null = null;

  constructor(parts: OperationRecordsParts, identify: Identify, start: OperationStart) {
    this.#parts = parts;
    this.#identify = identify;
    this.#start = start;
    this.#startedAt = parts.clock.monotonic();
    const span = parts.tracer?.start('operation', {}, start.traceparent ?? null) ?? null;
    this.usage = new OperationUsage(span);
  }

  get identity(): OperationIdentity {
    return this.#identity;
  }

  parsed(document: DocumentNode, operationName: string | null | undefined): void {
    this.#identity = this.#identify(document, operationName);
  }

  identifyAs(identity: OperationIdentity): void {
    this.#identity = identity;
  }

  joined({ identity, usage }: OperationRecord, waitedBefore: number): void {
    this.#identity = identity;
    this.usage.joined(usage, waitedBefore, this.#parts.clock.monotonic() - this.#startedAt);
    if (usage.span !== null) this.usage.span?.link(usage.span);
  }

  end(result: Pick<ExecutionResult, 'errors'>): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#finish('operation', this.#start.transport, codesOf(result));
  }

  leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#finish('operation', this.#start.transport, ABORTED);
  }

  refuse(code: ErrorCode): void {
    this.#isOver = true;
    this.#finish('operation', this.#start.transport, [code]);
  }

  streamBegan(): void {
    const { transport, streamTransport, requestId } = this.#start;
    const { metrics, log } = this.#parts;
    const { type, name, hash } = this.#identity;
    const stream = streamTransport?.() ?? transport;
    this.#stream = stream;
    metrics.streamBegan(stream);
    log.info({ name, hash, type, transport: stream, requestId }, 'subscription started');
  }

  eventSent(result: Pick<ExecutionResult, 'errors'>): void {
    this.#events++;
    this.#lastCodes = codesOf(result);
    this.#parts.metrics.eventSent(this.#stream ?? this.#start.transport);
  }

  streamEnded(refusal?: Pick<ExecutionResult, 'errors'>): void {
    if (this.#isOver || this.#stream === null) return;
    this.#isOver = true;
    this.#parts.metrics.streamEnded(this.#stream);
    const codes = refusal === undefined ? this.#lastCodes : codesOf(refusal);
    this.#finish('subscription ended', this.#stream, codes);
  }

  #finish(message: string, transport: TransportName, codes: readonly string[]): void {
    const { clock, metrics, log } = this.#parts;
    const { upstreamRequests, waitedMs, span } = this.usage;
    const { requestId } = this.#start;
    const { type, name, hash } = this.#identity;
    const tookMs = clock.monotonic() - this.#startedAt;
    metrics.operationEnded({ type, transport, outcome: codes[0] ?? 'OK', tookMs });
    // Every operation makes one of these, so it is made at once.
    const line = {
      name,
      hash,
      type,
      transport,
      codes,
      durationMs: round(tookMs),
      upstreamRequests,
      budgetWaitMs: round(waitedMs),
      requestId,
    };
    log.info(this.#stream === null ? line : { ...line, events: this.#events }, message);
    span?.set({
      'graphql.operation.type': type,
      ...(name !== null && { 'graphql.operation.name': name }),
      ...(hash !== null && { 'graphql.document.hash': hash }),
      transport,
      requestId,
    });
    span?.end(codes[0]);
  }
}

/** The codes of a result's errors, each once. */
function codesOf({ errors = [] }: Pick<ExecutionResult, 'errors'>): readonly string[] {
  if (errors.length === 0) return NO_ERRORS;
  const codes = new Set<string>();
  for (const error of errors) {
    codes.add(codeOf(error));
    if (codes.size === MAX_CODES) break;
  }
  return [...codes];
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}

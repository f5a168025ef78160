import type { DocumentNode, ExecutionResult } from 'graphql';
import type { Clock } from '../../clock.ts';
import type { ErrorCode } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Recorders } from '../../metrics.ts';
import type { Tracer } from '../../tracing.ts';
import { type OperationIdentity, OperationUsage } from '../../usage.ts';
import { codeOf } from '../access/mask-error.ts';
import { type Identify, UNKNOWN, createIdentify } from './operation-identity.ts';
import { type LogOperation, type Message, createOperationLog } from './operation-line.ts';
import type { TransportName } from './transport-name.ts';

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

const MAX_CODES = 5;
const ABORTED: readonly string[] = ['ABORTED'];
const NO_ERRORS: readonly string[] = [];

export function createOperationRecords(parts: OperationRecordsParts): OperationRecords {
  const tools = { ...parts, identify: createIdentify(), logEnd: createOperationLog(parts.log) };
  return {
    begin: start => new Recording(tools, start),
    refuse: (start, code) => new Recording(tools, start).refuse(code),
  };
}

interface Tools extends OperationRecordsParts {
  identify: Identify;
  logEnd: LogOperation;
}

/**
 * A class, because every operation makes one: closures and getters in an object literal take
 * several times as long.
 */
class Recording implements OperationRecord {
  readonly usage: OperationUsage;
  readonly #tools: Tools;
  readonly #start: OperationStart;
  readonly #startedAt: number;
  #identity = UNKNOWN;
  #isOver = false;
  #events = 0;
  #lastCodes = NO_ERRORS;
  /** Null while there is no stream. */
  #stream: TransportName | null = null;

  constructor(tools: Tools, start: OperationStart) {
    this.#tools = tools;
    this.#start = start;
    this.#startedAt = tools.clock.monotonic();
    const span = tools.tracer?.start('operation', {}, start.traceparent ?? null) ?? null;
    this.usage = new OperationUsage(span);
  }

  get identity(): OperationIdentity {
    return this.#identity;
  }

  parsed(document: DocumentNode, operationName: string | null | undefined): void {
    this.#identity = this.#tools.identify(document, operationName);
  }

  identifyAs(identity: OperationIdentity): void {
    this.#identity = identity;
  }

  joined({ identity, usage }: OperationRecord, waitedBefore: number): void {
    this.#identity = identity;
    this.usage.joined(usage, waitedBefore, this.#tools.clock.monotonic() - this.#startedAt);
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
    const { metrics, log } = this.#tools;
    const { type, name, hash } = this.#identity;
    const stream = streamTransport?.() ?? transport;
    this.#stream = stream;
    metrics.streamBegan(stream);
    log.info({ name, hash, type, transport: stream, requestId }, 'subscription started');
  }

  eventSent(result: Pick<ExecutionResult, 'errors'>): void {
    this.#events++;
    this.#lastCodes = codesOf(result);
    this.#tools.metrics.eventSent(this.#stream ?? this.#start.transport);
  }

  streamEnded(refusal?: Pick<ExecutionResult, 'errors'>): void {
    if (this.#isOver || this.#stream === null) return;
    this.#isOver = true;
    this.#tools.metrics.streamEnded(this.#stream);
    const codes = refusal === undefined ? this.#lastCodes : codesOf(refusal);
    this.#finish('subscription ended', this.#stream, codes);
  }

  #finish(message: Message, transport: TransportName, codes: readonly string[]): void {
    const { clock, metrics, logEnd } = this.#tools;
    const { upstreamRequests, waitedMs, span } = this.usage;
    const { requestId } = this.#start;
    const { type, name, hash } = this.#identity;
    const tookMs = clock.monotonic() - this.#startedAt;
    metrics.operationEnded({ type, transport, outcome: codes[0] ?? 'OK', tookMs });
    logEnd(
      {
        identity: this.#identity,
        transport,
        codes,
        durationMs: round(tookMs),
        upstreamRequests,
        budgetWaitMs: round(waitedMs),
        requestId,
        events: this.#stream === null ? null : this.#events,
      },
      message,
    );
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

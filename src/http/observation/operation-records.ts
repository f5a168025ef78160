import { createHash } from 'node:crypto';
import { type DocumentNode, type ExecutionResult, getOperationAST } from 'graphql';
import type { Clock } from '../../clock.ts';
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
  identity(): OperationIdentity;
  /** The document was parsed. */
  parsed(document: DocumentNode, operationName: string | null | undefined): void;
  /** It is the same operation as one that was identified before. */
  identifyAs(identity: OperationIdentity): void;
  /** It has a result that is no stream, or was refused with errors. Later calls do nothing. */
  end(result: Pick<ExecutionResult, 'errors'>): void;
  /** The client left before there was a result. */
  leave(): void;
  /** Its result is a stream, which has begun. */
  streamBegan(): void;
  /** A result of the stream is sent. */
  eventSent(result: Pick<ExecutionResult, 'errors'>): void;
  /** The stream has ended, or its reader has left. Later calls do nothing. */
  streamEnded(): void;
}

/** Writes a line of the log for each operation, and counts it. */
export interface OperationRecords {
  begin(start: OperationStart): OperationRecord;
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
  const { log, clock, metrics, tracer } = parts;
  /** Parsed documents are kept, so that each is hashed once. */
  const hashes = new WeakMap<DocumentNode, string>();

  return {
    begin({ transport, streamTransport = () => transport, requestId, traceparent = null }) {
      const startedAt = clock.monotonic();
      const span = tracer?.start('operation', {}, traceparent) ?? null;
      const usage = new OperationUsage(span);
      let identity = UNKNOWN;
      let isOver = false;
      let events = 0;
      let lastCodes = NO_ERRORS;
      /** Null while there is no stream. */
      let stream: TransportName | null = null;

      return {
        usage,
        identity: () => identity,
        parsed(document, operationName) {
          identity = identityOf(document, operationName);
        },
        identifyAs(other) {
          identity = other;
        },
        end(result) {
          if (isOver) return;
          isOver = true;
          finish('operation', transport, codesOf(result));
        },
        leave() {
          if (isOver) return;
          isOver = true;
          finish('operation', transport, ABORTED);
        },
        streamBegan() {
          stream = streamTransport();
          metrics.streamBegan(stream);
          log.info({ ...fieldsOf(identity, stream), requestId }, 'subscription started');
        },
        eventSent(result) {
          events++;
          lastCodes = codesOf(result);
          metrics.eventSent(stream ?? transport);
        },
        streamEnded() {
          if (isOver || stream === null) return;
          isOver = true;
          metrics.streamEnded(stream);
          finish('subscription ended', stream, lastCodes);
        },
      };

      function finish(message: string, by: TransportName, codes: readonly string[]): void {
        const tookMs = clock.monotonic() - startedAt;
        const { type, name, hash } = identity;
        metrics.operationEnded({ type, transport: by, outcome: codes[0] ?? 'OK', tookMs });
        // Every operation makes one of these, so it is made at once.
        const line = {
          name,
          hash,
          type,
          transport: by,
          codes,
          durationMs: round(tookMs),
          upstreamRequests: usage.upstreamRequests,
          budgetWaitMs: round(usage.waitedMs),
          requestId,
        };
        log.info(stream === null ? line : { ...line, events }, message);
        span?.set({
          'graphql.operation.type': type,
          ...(name !== null && { 'graphql.operation.name': name }),
          ...(hash !== null && { 'graphql.document.hash': hash }),
          transport: by,
          requestId,
        });
        span?.end(codes[0]);
      }
    },
  };

  function identityOf(
    document: DocumentNode,
    operationName: string | null | undefined,
  ): OperationIdentity {
    const operation = getOperationAST(document, operationName);
    return {
      type: operation?.operation ?? UNKNOWN.type,
      name: operation?.name?.value.slice(0, MAX_NAME_LENGTH) ?? null,
      hash: hashOf(document),
    };
  }

  function hashOf(document: DocumentNode): string | null {
    const known = hashes.get(document);
    if (known !== undefined) return known;
    const text = document.loc?.source.body;
    if (text === undefined) return null;
    const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
    hashes.set(document, hash);
    return hash;
  }
}

function fieldsOf({ name, hash, type }: OperationIdentity, transport: TransportName) {
  return { name, hash, type, transport };
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

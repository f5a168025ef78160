import {
  type Context,
  type Span as ApiSpan,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer as ApiTracer,
  ROOT_CONTEXT,
  isSpanContextValid,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-node';
import {
  type Span,
  type SpanAttributes,
  type SpanOptions,
  type Tracer,
  readTraceparent,
} from './tracing.ts';

// A collector that is down must not delay the shutdown for longer.
const CLOSE_WITHIN_MS = 2_000;
const KINDS: Readonly<Record<string, SpanKind>> = {
  operation: SpanKind.SERVER,
  attempt: SpanKind.CLIENT,
};

/** Called after each attempt to send spans: with the cause if it failed, else with null. */
export type OnSent = (cause: string | null) => void;

/**
 * A tracer that sends spans to an OTLP/HTTP collector, as JSON. The SDK reads the collector, the
 * sampler, the name of the service and everything else from the standard `OTEL_…` variables.
 */
export function createOtlpTracer(version: string, onSent: OnSent): Tracer {
  const resource = resourceFromAttributes({
    'service.name': 'task-status-gateway',
    'service.version': version,
  }).merge(detectResources({ detectors: [envDetector] }));
  const provider = new BasicTracerProvider({
    resource,
    spanProcessors: [new BatchSpanProcessor(createExporter(onSent))],
  });
  const tracer = provider.getTracer('task-status-gateway', version);

  return {
    start: (name, options, traceparent = null) =>
      startSpan(tracer, name, options, remoteContext(traceparent)),
    async close() {
      let timer: NodeJS.Timeout | undefined;
      const timeout = new Promise<void>(resolve => {
        timer = setTimeout(resolve, CLOSE_WITHIN_MS);
      });
      // Spans that cannot be sent are lost.
      await Promise.race([provider.shutdown().catch(() => {}), timeout]);
      clearTimeout(timer);
    },
  };
}

/** The SDK itself does not report a failure. */
function createExporter(onSent: OnSent): OTLPTraceExporter {
  const exporter = new OTLPTraceExporter();
  const send = exporter.export.bind(exporter);
  exporter.export = (spans, done) =>
    send(spans, result => {
      onSent(result.error === undefined ? null : explain(result.error));
      done(result);
    });
  return exporter;
}

/** Of the collector's answer no more than its status. */
function explain({ message, ...error }: Error): string {
  const { code } = error as { code?: string | number };
  return typeof code === 'number' ? `status ${code}` : (code ?? message);
}

class OtlpSpan implements Span {
  readonly #tracer: ApiTracer;
  readonly #span: ApiSpan;

  constructor(tracer: ApiTracer, span: ApiSpan) {
    this.#tracer = tracer;
    this.#span = span;
  }

  get context(): SpanContext {
    return this.#span.spanContext();
  }

  get traceparent(): string | null {
    const { context } = this;
    if (!isSpanContextValid(context)) return null;
    const flags = context.traceFlags.toString(16).padStart(2, '0');
    return `00-${context.traceId}-${context.spanId}-${flags}`;
  }

  start(name: string, options?: SpanOptions): Span {
    return startSpan(this.#tracer, name, options, trace.setSpan(ROOT_CONTEXT, this.#span));
  }

  set(attributes: SpanAttributes): void {
    this.#span.setAttributes(attributes);
  }

  link(other: Span): void {
    if (other instanceof OtlpSpan) this.#span.addLink({ context: other.context });
  }

  end(failureCode?: string, endedAt?: number): void {
    if (failureCode !== undefined) {
      this.#span.setAttribute('error.type', failureCode);
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message: failureCode });
    }
    this.#span.end(endedAt);
  }
}

function startSpan(
  tracer: ApiTracer,
  name: string,
  { attributes = {}, links = [], startedAt }: SpanOptions = {},
  parent: Context,
): Span {
  const options = {
    kind: KINDS[name] ?? SpanKind.INTERNAL,
    attributes,
    links: links.flatMap(link => (link instanceof OtlpSpan ? [{ context: link.context }] : [])),
    ...(startedAt === undefined ? {} : { startTime: startedAt }),
  };
  return new OtlpSpan(tracer, tracer.startSpan(name, options, parent));
}

function remoteContext(traceparent: string | null): Context {
  const remote = readTraceparent(traceparent);
  if (remote === null) return ROOT_CONTEXT;
  const { traceId, spanId, isSampled } = remote;
  const traceFlags = isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

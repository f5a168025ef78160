import type { Signal } from '../signal.ts';
import type { Dispatcher } from 'undici';
import { AttemptFailure, MAX_RETRIES } from './admission/attempt-failure.ts';
import { explainConnectionError } from './connection-error.ts';
import { createBodySpace } from './body-space.ts';
import { BodyLimitError, decode, readBody } from './decoding.ts';

/** What a request sends besides its headers. */
export interface AttemptContent {
  method: 'GET' | 'PATCH' | 'POST';
  /** The request target: the path from the root of the host, with the query. */
  path: string;
  /** A JSON Patch. */
  patch?: unknown;
  /** Fields of a form. */
  form?: Record<string, string>;
}

/** One HTTP request to the tenant. */
export interface Attempt extends Pick<AttemptContent, 'method' | 'path'> {
  headers: Record<string, string>;
  body?: string;
  signal?: Signal | undefined;
  /** Called once upstream has counted the request, or never will. */
  onSettled?: () => void;
}

/** The complete answer. */
export interface Answer {
  status: number;
  /** The first value of a header, by its lower-case name. */
  header(name: string): string | null;
  /** The body, decoded. */
  body: Buffer;
  /** The body as JSON; undefined if it is not JSON. */
  readonly json: unknown;
}

export type SendAttempt = (attempt: Attempt) => Promise<Answer>;

export interface SendAttemptOptions {
  /** Connections to the tenant, or to a proxy. */
  dispatcher: Dispatcher;
  /** The tenant: scheme, host and port. */
  origin: string;
  /** Milliseconds from the first byte sent to the last one received. */
  timeoutMs: number;
  /** The maximum size of a decoded body. */
  maxBodyBytes: number;
  /** The maximum size of all bodies that are being received, together. */
  maxTotalBytes: number;
  /** The User-Agent header: name and version. */
  userAgent: string;
}

/**
 * Sends requests with a limit on time and size. Throws an AttemptFailure: UPSTREAM_TIMEOUT,
 * UPSTREAM_UNAVAILABLE if no answer came, or UPSTREAM_INVALID_RESPONSE if the answer is incomplete
 * or cannot be decoded. Throws the signal's reason when that aborts. Redirects are not followed.
 */
export function createSendAttempt(options: SendAttemptOptions): SendAttempt {
  const { dispatcher, origin, timeoutMs, maxBodyBytes, maxTotalBytes, userAgent } = options;
  const bodies = createBodySpace(maxTotalBytes);
  const common = { 'user-agent': userAgent, 'accept-encoding': 'gzip, deflate, br' };

  return async ({ method, path, headers, body, signal, onSettled }) => {
    signal?.throwIfAborted();
    const controller = new AbortController();
    const onAbort = () => controller.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort);
    const timer = setTimeout(() => controller.abort(timedOut(timeoutMs)), timeoutMs);
    const space = bodies.open();
    let hasAnswered = false;
    try {
      const requested = dispatcher.request({
        origin,
        method,
        path,
        headers: { ...common, ...headers },
        body: body ?? null,
        signal: controller.signal,
      });
      // While there is no connection, undici does not end an aborted request, but it never sends it
      // then.
      const answer = await untilAborted(requested, controller.signal);
      hasAnswered = true;
      onSettled?.();
      const header = (name: string) => [answer.headers[name] ?? null].flat()[0] ?? null;
      const encodings = [answer.headers['content-encoding'] ?? []].flat().join(',');
      const received = await readBody(answer.body, maxBodyBytes, bytes => space.take(bytes));
      const decoded =
        encodings === ''
          ? received
          : await bodies.decode(() => decode(received, encodings, maxBodyBytes));
      return new ParsedOnUse(answer.statusCode, header, decoded);
    } catch (cause) {
      onSettled?.();
      if (controller.signal.aborted) throw controller.signal.reason;
      throw hasAnswered ? toBrokenAnswer(cause) : toUnreachable(cause);
    } finally {
      clearTimeout(timer);
      space.close();
      signal?.removeEventListener('abort', onAbort);
    }
  };
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    work.then(resolve, reject);
  });
}

/** `traceparent` names the attempt in a trace. */
export function toAttempt(
  token: string | null,
  { method, path, patch, form }: AttemptContent,
  traceparent: string | null,
): Attempt {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (traceparent !== null) headers['traceparent'] = traceparent;
  if (token !== null) headers['authorization'] = `Bearer ${token}`;
  if (patch !== undefined) {
    headers['content-type'] = 'application/json-patch+json';
    return { method, path, headers, body: JSON.stringify(patch) };
  }
  if (form !== undefined) {
    headers['content-type'] = 'application/x-www-form-urlencoded';
    return { method, path, headers, body: new URLSearchParams(form).toString() };
  }
  return { method, path, headers };
}

/**
 * An answer whose body is parsed on first use: most rows of a poll are known by their bytes, so few
 * bodies are parsed.
 */
class ParsedOnUse implements Answer {
  readonly status: number;
  readonly header: Answer['header'];
  readonly body: Buffer;
  #parsed: { json: unknown } | null = null;

  constructor(status: number, header: Answer['header'], body: Buffer) {
    this.status = status;
    this.header = header;
    this.body = body;
  }

  get json(): unknown {
    this.#parsed ??= { json: readJson(this.body) };
    return this.#parsed.json;
  }
}

function readJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

function timedOut(timeoutMs: number): AttemptFailure {
  return new AttemptFailure(
    'UPSTREAM_TIMEOUT',
    `Upstream did not answer within ${timeoutMs} ms.`,
    { health: 'failing', maxRetries: MAX_RETRIES, mayHaveActed: true },
    { explanation: `no complete answer within ${timeoutMs} ms` },
  );
}

function toUnreachable(cause: unknown): AttemptFailure {
  const { explanation, place = null, isSent, isLasting } = explainConnectionError(cause);
  return new AttemptFailure(
    'UPSTREAM_UNAVAILABLE',
    'Upstream could not be reached.',
    {
      // A connection may break because of this request; a failure to connect has nothing to do with
      // it.
      health: isSent ? 'failing' : 'unreachable',
      maxRetries: isLasting ? 0 : MAX_RETRIES,
      mayHaveActed: isSent,
    },
    { cause, explanation, place },
  );
}

function toBrokenAnswer(cause: unknown): AttemptFailure {
  // A retry would get the same body.
  if (cause instanceof BodyLimitError)
    return new AttemptFailure(
      'UPSTREAM_INVALID_RESPONSE',
      cause.message,
      { health: 'healthy', maxRetries: 0, mayHaveActed: true },
      { cause, explanation: cause.message },
    );
  const { explanation } = explainConnectionError(cause);
  return new AttemptFailure(
    'UPSTREAM_INVALID_RESPONSE',
    "Upstream's answer is incomplete.",
    { health: 'failing', maxRetries: MAX_RETRIES, mayHaveActed: true },
    { cause, explanation: `the answer is incomplete: ${explanation}` },
  );
}

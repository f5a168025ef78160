import type { Dispatcher } from 'undici';
import { AttemptFailure, MAX_RETRIES } from './admission/attempt-failure.ts';
import { explainConnectionError } from './connection-error.ts';
import { createBodySpace } from './body-space.ts';
import { BodyLimitError, decode, readBody } from './decoding.ts';

/** One HTTP request to the tenant. */
export interface Attempt {
  method: 'GET' | 'POST' | 'PATCH';
  /** With the query, from the root of the host. */
  path: string;
  headers: Record<string, string>;
  body?: string;
  signal?: AbortSignal | undefined;
  /** Called once upstream has counted the request, or never will. */
  onSettled?: () => void;
}

/** What came back, whole. */
export interface Answer {
  status: number;
  /** The first value of a header, by its lower-case name. */
  header(name: string): string | null;
  /** The body, without its content encodings. */
  body: Buffer;
  /** The body, read as JSON; undefined where it is none. */
  readonly json: unknown;
}

export type SendAttempt = (attempt: Attempt) => Promise<Answer>;

export interface SendAttemptOptions {
  /** Connections to the tenant, or to its proxy. */
  dispatcher: Dispatcher;
  /** The tenant: scheme, host and port. */
  origin: string;
  /** Milliseconds from the first byte sent to the last one received. */
  timeoutMs: number;
  /** The most bytes that a body may have, decoded. */
  maxBodyBytes: number;
  /** The most bytes that all bodies together may have while they are received. */
  maxTotalBytes: number;
  /** Name and version, as upstream's logs and firewalls see them. */
  userAgent: string;
}

/**
 * Sends requests, each bounded in time and size. Throws an AttemptFailure with UPSTREAM_TIMEOUT,
 * UPSTREAM_UNAVAILABLE where no answer came, or UPSTREAM_INVALID_RESPONSE where it broke off or cannot
 * be decoded; and the signal's reason when that aborts. Redirects are not followed.
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
      const answer = await dispatcher.request({
        origin,
        method,
        path,
        headers: { ...common, ...headers },
        body: body ?? null,
        signal: controller.signal,
      });
      hasAnswered = true;
      onSettled?.();
      const header = (name: string) => [answer.headers[name] ?? null].flat()[0] ?? null;
      const encodings = [answer.headers['content-encoding'] ?? []].flat().join(',');
      const received = await readBody(answer.body, maxBodyBytes, space.take);
      const decoded =
        encodings === ''
          ? received
          : await bodies.decode(() => decode(received, encodings, maxBodyBytes));
      return toAnswer(answer.statusCode, header, decoded);
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

function toAnswer(status: number, header: Answer['header'], body: Buffer): Answer {
  let parsed: { json: unknown } | null = null;
  return {
    status,
    header,
    body,
    // Parsed only where it is asked for: most rows of a poll have been read before.
    get json() {
      parsed ??= { json: readJson(body) };
      return parsed.json;
    },
  };
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
    { health: 'failing', maxRetries: MAX_RETRIES, wasSeen: true },
    { explanation: `no whole answer within ${timeoutMs} ms` },
  );
}

function toUnreachable(cause: unknown): AttemptFailure {
  const { explanation, place = null, isSent, isLasting } = explainConnectionError(cause);
  return new AttemptFailure(
    'UPSTREAM_UNAVAILABLE',
    'Upstream could not be reached.',
    {
      // A connection that broke may be the fault of what was sent over it; one that was never made is not.
      health: isSent ? 'failing' : 'unreachable',
      maxRetries: isLasting ? 0 : MAX_RETRIES,
      wasSeen: isSent,
    },
    { cause, explanation, place },
  );
}

function toBrokenAnswer(cause: unknown): AttemptFailure {
  // A body that is too large or cannot be decoded will be no better the next time.
  if (cause instanceof BodyLimitError)
    return new AttemptFailure(
      'UPSTREAM_INVALID_RESPONSE',
      cause.message,
      { health: 'well', maxRetries: 0, wasSeen: true },
      { cause, explanation: cause.message },
    );
  const { explanation } = explainConnectionError(cause);
  return new AttemptFailure(
    'UPSTREAM_INVALID_RESPONSE',
    "Upstream's answer broke off.",
    { health: 'failing', maxRetries: MAX_RETRIES, wasSeen: true },
    { cause, explanation: `the answer broke off: ${explanation}` },
  );
}

import type { Dispatcher } from 'undici';
import { GatewayError } from '../errors.ts';

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
  /** The decoded body, as it was received. */
  body: Buffer;
  /** The body, read as JSON; undefined where it is none. */
  json: unknown;
}

export type SendAttempt = (attempt: Attempt) => Promise<Answer>;

/**
 * Sends requests over a pool of connections, each bounded by `timeoutMs` from first byte to last.
 * Throws UPSTREAM_TIMEOUT, UPSTREAM_UNAVAILABLE when no answer came, UPSTREAM_INVALID_RESPONSE when
 * it broke off, and the signal's reason when that aborts.
 */
export function createSendAttempt(pool: Dispatcher, timeoutMs: number): SendAttempt {
  return async ({ method, path, headers, body, signal, onSettled }) => {
    signal?.throwIfAborted();
    const controller = new AbortController();
    const onAbort = () => controller.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort);
    const timeout = new GatewayError(
      'UPSTREAM_TIMEOUT',
      `Upstream did not answer within ${timeoutMs} ms.`,
    );
    const timer = setTimeout(() => controller.abort(timeout), timeoutMs);
    let hasAnswered = false;
    try {
      const answer = await pool.request({
        method,
        path,
        headers,
        body: body ?? null,
        signal: controller.signal,
      });
      hasAnswered = true;
      onSettled?.();
      const bytes = Buffer.from(await answer.body.arrayBuffer());
      return {
        status: answer.statusCode,
        header: name => [answer.headers[name] ?? null].flat()[0] ?? null,
        body: bytes,
        // Parsed only where it is asked for: most rows of a poll have been read before.
        get json() {
          return readJson(bytes);
        },
      };
    } catch (cause) {
      onSettled?.();
      if (controller.signal.aborted) throw controller.signal.reason;
      throw hasAnswered
        ? new GatewayError('UPSTREAM_INVALID_RESPONSE', "Upstream's answer broke off.", { cause })
        : new GatewayError('UPSTREAM_UNAVAILABLE', 'Upstream could not be reached.', { cause });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  };
}

function readJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

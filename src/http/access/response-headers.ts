import type { IncomingMessage, ServerResponse } from 'node:http';
import type { OriginMatcher } from './origin-pattern.ts';

const PREFLIGHT_SECONDS = '600';

/** Sets the headers of every response. HSTS is left to the proxy that terminates TLS. */
export function setSecurityHeaders(response: ServerResponse): void {
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('referrer-policy', 'no-referrer');
  response.setHeader('x-frame-options', 'DENY');
  response.setHeader('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
  response.setHeader('cross-origin-resource-policy', 'same-origin');
  response.setHeader('cache-control', 'no-store');
  response.setHeader('vary', 'Accept-Encoding');
}

/** Sets CORS headers if the origin is listed. */
export function setCorsHeaders(
  { headers }: IncomingMessage,
  response: ServerResponse,
  isListedOrigin: OriginMatcher,
): void {
  response.appendHeader('vary', 'Origin');
  const { origin } = headers;
  if (origin === undefined || !isListedOrigin(origin)) return;
  response.setHeader('access-control-allow-origin', origin);
  response.setHeader('access-control-allow-credentials', 'true');
  response.setHeader('access-control-expose-headers', 'Retry-After, X-Request-Id');
  response.setHeader('cross-origin-resource-policy', 'cross-origin');
}

/**
 * Answers an OPTIONS request. Call `setCorsHeaders` first: its headers show whether the origin is
 * listed.
 */
export function answerPreflight({ headers }: IncomingMessage, response: ServerResponse): void {
  if (response.hasHeader('access-control-allow-origin')) {
    response.setHeader('access-control-allow-methods', 'GET, POST, PUT, DELETE');
    const requested = headers['access-control-request-headers'];
    if (requested !== undefined) response.setHeader('access-control-allow-headers', requested);
    response.setHeader('access-control-max-age', PREFLIGHT_SECONDS);
  }
  response.writeHead(204, { allow: 'GET, POST, PUT, DELETE, OPTIONS' }).end();
}

import type { Answer } from './attempt.ts';
import { type SentValues, removeSecrets } from './secrets.ts';

/** Upstream's explanation of a failure, cleaned for callers. */
export interface ErrorBody {
  /** The message; null if the body has none. */
  text: string | null;
  detailCode: string | null;
  trackingId: string | null;
}

const MAX_TEXT = 300;
const MAX_CODE = 64;
const CODE = /^[\w .:-]+$/;
const TRACKING_ID = /^[\w-]+$/;
// Upstream's error bodies are shorter. A longer body is not parsed.
const MAX_BODY_BYTES = 2 * 1_048_576;

/**
 * Reads an error body. Upstream's services and gateways use different formats, so all known places
 * of a message are tried. `sent` is what the request carried; it is removed, because an answer that
 * echoes the request would reveal the gateway's own token to the caller.
 */
export function readErrorBody(answer: Answer, sent: SentValues): ErrorBody {
  const body = asObject(isErrorBody(answer) ? answer.json : undefined);
  const message = [
    body['detailMessage'],
    ...textsOf(body['messages']),
    ...textsOf(body['causes']),
    body['formatted_msg'],
    body['errorMessage'],
    body['message'],
    body['error_description'],
    body['error'],
  ].find(text => typeof text === 'string' && text.trim() !== '') as string | undefined;
  const trackingId = body['trackingId'] ?? answer.header('slpt-request-id');
  const text = message === undefined ? null : toPlainText(message, sent);
  const detailCode = toCode(body['detailCode'], CODE, sent);
  return {
    text: text ?? detailCode,
    detailCode,
    trackingId: toCode(trackingId, TRACKING_ID, sent),
  };
}

/** Whether a body may be an error of upstream: JSON of at most 2 MB. */
export function isErrorBody(answer: Answer): boolean {
  return answer.body.length <= MAX_BODY_BYTES && answer.json !== undefined;
}

/**
 * The text in one line, without markup, secrets and invisible characters; null if nothing is left.
 */
function toPlainText(text: string, sent: SentValues): string | null {
  // Bounded, so that a huge text costs little.
  const readable = text
    .slice(0, 10 * MAX_TEXT)
    .normalize('NFKC')
    // Invisible characters can hide text or reverse its order.
    .replace(/(?![\t\r\n])[\p{Cf}\p{Cs}\p{Co}\p{Cn}]/gu, '')
    // Many combining marks on one character would cover the lines around it.
    .replace(/(\p{M}{2})\p{M}+/gu, '$1');
  const plain = removeSecrets(readable, sent)
    .replace(/[\p{C}\s]+/gu, ' ')
    .replace(/<[^<>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  if (plain === '') return null;
  return plain.length > MAX_TEXT ? `${plain.slice(0, MAX_TEXT - 1).toWellFormed()}…` : plain;
}

/** A code or id for a support ticket; null if it has another form or may hold a secret. */
function toCode(value: unknown, form: RegExp, sent: SentValues): string | null {
  if (typeof value !== 'string' || value.length > MAX_CODE) return null;
  const code = value.trim();
  return form.test(code) && removeSecrets(code, sent) === code ? code : null;
}

function textsOf(list: unknown): unknown[] {
  return Array.isArray(list) ? list.map(item => asObject(item)['text']) : [];
}

function asObject(json: unknown): Record<string, unknown> {
  return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {};
}

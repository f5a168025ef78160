import type { Answer } from './attempt.ts';
import { type SentValues, removeSecrets } from './secrets.ts';

/** What upstream says of a failure, in a form that a caller may be shown. */
export interface Wording {
  /** Null where the body holds no words that were meant for somebody to read. */
  text: string | null;
  detailCode: string | null;
  trackingId: string | null;
}

const MAX_TEXT = 300;
const MAX_CODE = 64;
const CODE = /^[\w .:-]+$/;
const TRACKING_ID = /^[\w-]+$/;
// A longer body is no error of upstream's, and is not parsed.
const MAX_BODY_BYTES = 2 * 1_048_576;

/**
 * Reads an error body. Each service, and each gateway before them, has its own: all the places where
 * one of them puts its words are tried. `sent` is what the request carried: a debugging service
 * that repeats it would show a caller the gateway's own token.
 */
export function readWording(answer: Answer, sent: SentValues): Wording {
  const body = asObject(isError(answer) ? answer.json : undefined);
  const said = [
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
  const text = said === undefined ? null : toPlainText(said, sent);
  const detailCode = toCode(body['detailCode'], CODE, sent);
  return {
    text: text ?? detailCode,
    detailCode,
    trackingId: toCode(trackingId, TRACKING_ID, sent),
  };
}

/** Whether a body may be one of upstream's errors: JSON of a length that somebody might read. */
export function isError(answer: Answer): boolean {
  return answer.body.length <= MAX_BODY_BYTES && answer.json !== undefined;
}

/** One line without markup, secrets or anything else that is not for a caller; null where nothing is left. */
function toPlainText(text: string, sent: SentValues): string | null {
  // No more than could be shown is looked at, so that a huge body costs nothing.
  const readable = text
    .slice(0, 10 * MAX_TEXT)
    .normalize('NFKC')
    // Not seen, these only hide what is around them, or turn the order in which it is read.
    .replace(/(?![\t\r\n])[\p{Cf}\p{Cs}\p{Co}\p{Cn}]/gu, '')
    // Piled up, they reach over the lines around them.
    .replace(/(\p{M}{2})\p{M}+/gu, '$1');
  const plain = removeSecrets(readable, sent)
    .replace(/[\p{C}\s]+/gu, ' ')
    .replace(/<[^<>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  if (plain === '') return null;
  return plain.length > MAX_TEXT ? `${plain.slice(0, MAX_TEXT - 1).toWellFormed()}…` : plain;
}

/** A word of upstream's for a support ticket, in a plain form; null where it is anything else. */
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

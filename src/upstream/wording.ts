import type { Answer } from './attempt.ts';

/** What upstream says of a failure, in a form that a caller may be shown. */
export interface Wording {
  /** Null where the body holds no words that were meant for somebody to read. */
  text: string | null;
  detailCode: string | null;
  trackingId: string | null;
}

const MAX_TEXT = 300;
const MAX_CODE = 100;
const REMOVED = '[removed]';
// With the value, quoted or up to the end of the line.
const PRIVATE_HEADER =
  /\b(authorization|proxy-authorization|cookie|set-cookie|x-api-key|user-agent|host)["']?\s*[:=]\s*("[^"]*"|'[^']*'|[^\r\n]*)/gi;

/**
 * Reads an error body. Each service, and each gateway before them, has its own: all the places where
 * one of them puts its words are tried. `sent` are the headers of the request: a debugging service
 * that repeats them would show a caller the gateway's own token.
 */
export function readWording(answer: Answer, sent: Readonly<Record<string, string>>): Wording {
  const body = asObject(answer.json);
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
  const code = body['detailCode'];
  const trackingId = body['trackingId'] ?? answer.header('slpt-request-id');
  const text = said === undefined ? null : toPlainText(said, sent, MAX_TEXT);
  const detailCode = typeof code === 'string' ? toPlainText(code, sent, MAX_CODE) : null;
  return {
    text: text ?? detailCode,
    detailCode,
    trackingId:
      typeof trackingId === 'string' && /^[\w-]{1,64}$/.test(trackingId) ? trackingId : null,
  };
}

/** One line without markup, secrets or anything else that is not for a caller; null where nothing is left. */
function toPlainText(
  text: string,
  sent: Readonly<Record<string, string>>,
  maxLength: number,
): string | null {
  // No more than could be shown is looked at, so that a huge body costs nothing.
  let plain = text.slice(0, 10 * maxLength).replace(PRIVATE_HEADER, REMOVED);
  for (const [name, value] of Object.entries(sent)) {
    plain = plain.replace(
      new RegExp(`\\b${escape(name)}["']?\\s*[:=]\\s*["']?${escape(value)}["']?`, 'gi'),
      REMOVED,
    );
    // A token by itself, whatever it looks like.
    const token = name === 'authorization' ? value.replace(/^\S+ /, '') : '';
    if (token !== '') plain = plain.replaceAll(token, REMOVED);
  }
  plain = plain
    .replace(/[\p{C}\s]+/gu, ' ')
    .replace(/<[^<>]*>/g, ' ')
    .replace(/\b(bearer|basic)\s+[\w.~+/=-]+/gi, REMOVED)
    .replace(/\beyJ[\w.=-]+/g, REMOVED)
    // Ids have 36 characters at the most; a longer run of such characters is a key of some kind.
    .replace(/[\w+/=~-]{40,}/g, REMOVED)
    .replace(/\s+/g, ' ')
    .trim();
  if (plain.length > maxLength) plain = `${plain.slice(0, maxLength - 1).toWellFormed()}…`;
  return plain === '' ? null : plain;
}

function textsOf(list: unknown): unknown[] {
  return Array.isArray(list) ? list.map(item => asObject(item)['text']) : [];
}

function asObject(json: unknown): Record<string, unknown> {
  return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {};
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

const REMOVED = '[removed]';
// A match of so many consecutive characters of a secret is no coincidence.
const MIN_PIECE_LENGTH = 12;
// A shorter secret protects nothing and would match ordinary text.
const MIN_SECRET_LENGTH = 6;
// Longer secrets are searched for by their first kilobytes.
const MAX_SECRET_LENGTH = 16_384;

// A header with its value, quoted or up to the end of the line.
const PRIVATE_HEADER =
  /\b(authorization|proxy-authorization|cookie|set-cookie|x-api-key|user-agent|host)["']?\s*[:=]\s*("[^"]*"|'[^']*'|[^\r\n]*)/gi;
const NAMED_SECRET =
  /\b(?:access_token|refresh_token|id_token|client_secret|client_assertion|password|passwd|secret|api[-_]?key)["']?\s*[:=]\s*(?:"[^"]*"|'[^']*'|\S+)/gi;
const SCHEME = /(?:bearer|basic)["'\s:=,]+[\w.~+/=%-]+/gi;
// A JWT, and following words that look like parts of it.
const JWT = /eyJ[\w.=+/%-]*(?:\s+(?=\S*[\d._=+/]|\S*[a-z][A-Z])[\w.=+/%-]{4,})*/g;
// Ids have at most 36 characters. A longer run of such characters is probably a key.
const LONG_RUN = /[\w+/=~-]{40,}/g;

// Escapes of characters other than letters and digits: in URLs, in HTML (two forms) and in JSON.
const ESCAPES: readonly ((code: number) => string)[] = [
  code => `%${code.toString(16)}`,
  code => `&#${code};`,
  code => `&#x${code.toString(16)};`,
  code => `\\u${code.toString(16).padStart(4, '0')}`,
];

/** The secrets that a request carried: its headers, and the client secret of its form. */
export type SentValues = Readonly<Record<string, string>>;

/**
 * Removes the secrets of the request, and anything else that looks like a token, from a text.
 * Secrets are found even in pieces, with other characters in between, escaped, or encoded as base64
 * or hexadecimal.
 */
export function removeSecrets(text: string, sent: SentValues): string {
  let clean = text.replace(PRIVATE_HEADER, REMOVED);
  for (const [name, value] of Object.entries(sent)) {
    const pair = `\\b${escape(name)}["']?\\s*[:=]\\s*["']?${escape(value)}["']?`;
    clean = clean.replace(new RegExp(pair, 'gi'), REMOVED);
  }
  for (const secret of secretsOf(sent)) clean = removePieces(clean, secret);
  return clean
    .replace(NAMED_SECRET, REMOVED)
    .replace(SCHEME, REMOVED)
    .replace(JWT, REMOVED)
    .replace(LONG_RUN, REMOVED);
}

/** The secret values, without their scheme, in each form in which an answer may repeat them. */
function secretsOf(sent: SentValues): string[] {
  const token = sent['authorization']?.replace(/^\S+ /, '');
  return [token, sent['client_secret']].flatMap(value =>
    formsOf(value?.slice(0, MAX_SECRET_LENGTH) ?? ''),
  );
}

function formsOf(secret: string): string[] {
  if (secret === '') return [];
  const bytes = Buffer.from(secret);
  // Base64 depends on the offset within a group of three bytes, and at the ends on the surrounding
  // text.
  const encoded = [0, 1, 2].map(skipped =>
    Buffer.concat([Buffer.alloc(skipped), bytes])
      .toString('base64url')
      .slice(skipped + 1, -2),
  );
  const escaped = ESCAPES.map(toEscape =>
    secret.replace(/[^a-z\d]/gi, one => toEscape(one.charCodeAt(0))),
  );
  return [secret, bytes.toString('hex')].concat(encoded, escaped);
}

/**
 * Removes runs of letters and digits that are part of the secret, ignoring the characters between
 * them.
 */
function removePieces(text: string, secret: string): string {
  const letters = alphanumericsOf(secret);
  const length = Math.min(MIN_PIECE_LENGTH, letters.length);
  if (length < MIN_SECRET_LENGTH) return text;
  const compact = alphanumericsOf(text);
  const isPiece = (end: number) => letters.includes(compact.slice(end - length, end));

  const places = [...text.matchAll(/[a-z\d]/gi)].map(({ index }) => index);
  const parts: string[] = [];
  let kept = 0;
  for (let end = length; end <= compact.length; end++) {
    if (!isPiece(end)) continue;
    parts.push(text.slice(kept, places[end - length]), REMOVED);
    while (end < compact.length && isPiece(end + 1)) end++;
    kept = (places[end - 1] ?? 0) + 1;
    // The next piece starts after this one.
    end += length - 1;
  }
  return parts.join('') + text.slice(kept);
}

function alphanumericsOf(text: string): string {
  return text.replace(/[^a-z\d]/gi, '').toLowerCase();
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

const REMOVED = '[removed]';
// So many characters of a secret in a row are no coincidence.
const PIECE = 12;
// Shorter than this, it protects nothing, and is found in any text.
const SHORTEST = 6;
// Most encodings of a secret show in its first kilobytes.
const MAX_SECRET = 16_384;

// With the value, quoted or up to the end of the line.
const PRIVATE_HEADER =
  /\b(authorization|proxy-authorization|cookie|set-cookie|x-api-key|user-agent|host)["']?\s*[:=]\s*("[^"]*"|'[^']*'|[^\r\n]*)/gi;
const NAMED_SECRET =
  /\b(?:access_token|refresh_token|id_token|client_secret|client_assertion|password|passwd|secret|api[-_]?key)["']?\s*[:=]\s*(?:"[^"]*"|'[^']*'|\S+)/gi;
const SCHEME = /(?:bearer|basic)["'\s:=,]+[\w.~+/=%-]+/gi;
// A JWT, and the words after it that look like more of it.
const JWT = /eyJ[\w.=+/%-]*(?:\s+(?=\S*[\d._=+/]|\S*[a-z][A-Z])[\w.=+/%-]{4,})*/g;
// Ids have 36 characters at the most; a longer run of such characters is a key of some kind.
const LONG_RUN = /[\w+/=~-]{40,}/g;

// Of what is no letter or digit: in URLs, in HTML twice, and in JSON.
const ESCAPES: readonly ((code: number) => string)[] = [
  code => `%${code.toString(16)}`,
  code => `&#${code};`,
  code => `&#x${code.toString(16)};`,
  code => `\\u${code.toString(16).padStart(4, '0')}`,
];

/** What a request carried that nobody else may see: its headers, and a secret in its body. */
export type SentValues = Readonly<Record<string, string>>;

/**
 * The text without what the request carried and without anything else that looks like a token. What was sent is
 * found in pieces, with other characters between them, encoded as base64 or hexadecimal, and escaped.
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

/** Values that are secret by themselves, without their scheme, in each form in which they may be repeated. */
function secretsOf(sent: SentValues): string[] {
  const token = sent['authorization']?.replace(/^\S+ /, '');
  return [token, sent['client_secret']].flatMap(value =>
    formsOf(value?.slice(0, MAX_SECRET) ?? ''),
  );
}

function formsOf(secret: string): string[] {
  if (secret === '') return [];
  const bytes = Buffer.from(secret);
  // Base64 depends on where in a group of three bytes the secret begins; at its ends, on what is around it.
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

/** The text without the runs that are part of the secret, whatever stands between their letters and digits. */
function removePieces(text: string, secret: string): string {
  const letters = lettersOf(secret);
  const length = Math.min(PIECE, letters.length);
  if (length < SHORTEST) return text;
  const compact = lettersOf(text);
  const isPiece = (end: number) => letters.includes(compact.slice(end - length, end));

  const places = [...text.matchAll(/[a-z\d]/gi)].map(({ index }) => index);
  const parts: string[] = [];
  let kept = 0;
  for (let end = length; end <= compact.length; end++) {
    if (!isPiece(end)) continue;
    parts.push(text.slice(kept, places[end - length]), REMOVED);
    while (end < compact.length && isPiece(end + 1)) end++;
    kept = (places[end - 1] ?? 0) + 1;
    // The next piece begins after this one.
    end += length - 1;
  }
  return parts.join('') + text.slice(kept);
}

function lettersOf(text: string): string {
  return text.replace(/[^a-z\d]/gi, '').toLowerCase();
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

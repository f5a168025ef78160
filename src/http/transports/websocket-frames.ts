const FINAL_TEXT = 0x81;
/**
 * graphql-ws closes the socket for an operation without `query`, such as one that names a persisted
 * document.
 */
export function withQuery(text: string): string {
  if (!/"(documentId|persistedQuery)"/.test(text)) return text;
  try {
    const message = JSON.parse(text) as { payload?: { query?: unknown } };
    if (typeof message.payload !== 'object' || message.payload === null) return text;
    message.payload.query ??= '';
    return JSON.stringify(message);
  } catch {
    // graphql-ws reports what is wrong with it.
    return text;
  }
}

/** As the client sent it: masked, and in one frame. */
export function frameLengthOf({ length }: Buffer): number {
  return length + (length < 126 ? 6 : length < 65_536 ? 8 : 14);
}

/** The header of a text frame in RFC 6455, whose bytes are the characters of a string. */
export function headerOf(length: number): string {
  return length < 126
    ? String.fromCharCode(FINAL_TEXT, length)
    : String.fromCharCode(FINAL_TEXT, 126, length >> 8, length & 0xff);
}

/** Whether an Origin header names a listed origin. */
export type OriginMatcher = (origin: string) => boolean;

interface OriginPattern {
  /** With the colon: `https:`. */
  protocol: string;
  /** With the port, unless it is the default of the protocol. */
  host: string;
  /** Whether the pattern matches all subdomains of the host, but not the host itself. */
  isWildcard: boolean;
}

/**
 * Matches `https://app.example.com`, `https://*.example.com` and an app's `capacitor://localhost`.
 */
export function createOriginMatcher(patterns: readonly string[]): OriginMatcher {
  const parsed = patterns.map(parseOriginPattern).filter(pattern => pattern !== null);
  return text => {
    const origin = parseOrigin(text);
    return origin !== null && parsed.some(pattern => matches(pattern, origin));
  };
}

/** Null if the text is not an origin, or if its wildcard is directly below a top-level domain. */
export function parseOriginPattern(text: string): OriginPattern | null {
  const [, scheme = '', name = ''] = /^([a-z][a-z0-9+.-]*:\/\/)\*\.(.*)$/i.exec(text) ?? [];
  const isWildcard = name !== '';
  const origin = parseOrigin(isWildcard ? scheme + name : text);
  if (origin === null || (isWildcard && !/^[^.[]+\.[^.]/.test(origin.host))) return null;
  return { ...origin, isWildcard };
}

/**
 * Parses a scheme, a host and an optional port. Null for anything else, such as an opaque origin.
 */
function parseOrigin(text: string): Omit<OriginPattern, 'isWildcard'> | null {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@*\\\s]+$/i.test(text) || !URL.canParse(text)) return null;
  const { protocol, host } = new URL(text);
  return host === '' ? null : { protocol, host: host.toLowerCase() };
}

function matches(
  { protocol, host, isWildcard }: OriginPattern,
  origin: Omit<OriginPattern, 'isWildcard'>,
): boolean {
  if (origin.protocol !== protocol) return false;
  return isWildcard ? origin.host.endsWith(`.${host}`) : origin.host === host;
}

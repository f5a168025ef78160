/** Whether an Origin header names an origin that is listed. */
export type OriginMatcher = (origin: string) => boolean;

interface OriginPattern {
  /** As a URL has it: `https:`. */
  protocol: string;
  /** With its port unless that is the protocol's own. */
  host: string;
  /** Whether any name below the host is meant, and not the host itself. */
  isBelow: boolean;
}

/** Matches `https://app.example.com`, `https://*.example.com` and an app's `capacitor://localhost`. */
export function createOriginMatcher(patterns: readonly string[]): OriginMatcher {
  const parsed = patterns.map(parseOriginPattern).filter(pattern => pattern !== null);
  return text => {
    const origin = parseOrigin(text);
    return origin !== null && parsed.some(pattern => matches(pattern, origin));
  };
}

/** Null for what is no origin, and for a pattern that would match whole registries of names. */
export function parseOriginPattern(text: string): OriginPattern | null {
  const [, scheme = '', name = ''] = /^([a-z][a-z0-9+.-]*:\/\/)\*\.(.*)$/i.exec(text) ?? [];
  const isBelow = name !== '';
  const origin = parseOrigin(isBelow ? scheme + name : text);
  if (origin === null || (isBelow && !/^[^.[]+\.[^.]/.test(origin.host))) return null;
  return { ...origin, isBelow };
}

/** A scheme, a host and perhaps a port, and nothing else; `null` and opaque origins are none. */
function parseOrigin(text: string): Omit<OriginPattern, 'isBelow'> | null {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@*\\\s]+$/i.test(text) || !URL.canParse(text)) return null;
  const { protocol, host } = new URL(text);
  return host === '' ? null : { protocol, host: host.toLowerCase() };
}

function matches(
  { protocol, host, isBelow }: OriginPattern,
  origin: Omit<OriginPattern, 'isBelow'>,
): boolean {
  if (origin.protocol !== protocol) return false;
  return isBelow ? origin.host.endsWith(`.${host}`) : origin.host === host;
}

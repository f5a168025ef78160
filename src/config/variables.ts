import { isIPv6 } from 'node:net';
import * as z from 'zod';
import { readRedisUrl } from '../fleet/redis-url.ts';

/** Hosts that are reachable only from this machine. */
export const LOOPBACK_HOSTS: ReadonlySet<string> = new Set([
  '127.0.0.1',
  '::1',
  '[::1]',
  'localhost',
]);

export const Flag = z
  .enum(['true', 'false'], 'must be true or false')
  .transform(text => text === 'true');

/** A URL that tokens or keys are sent to. It must be https, except on this machine. */
export const SafeUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .transform(text => new URL(text))
  .refine(
    ({ protocol, hostname }) => protocol === 'https:' || LOOPBACK_HOSTS.has(hostname),
    'must be https, unless the host is this machine',
  );

/** The tenant's URL. What would not be part of requests is a mistake. */
export const TenantUrl = SafeUrl.refine(
  ({ username, password, search, hash }) => username + password + search + hash === '',
  'must have no user, password, query or fragment',
);

/** A name or an address to listen on. IPv6 addresses may be in brackets, as in a URL. */
export const Host = z
  .string()
  .refine(
    text => /^[\w.-]+$/.test(text) || isIPv6(text.replace(/^\[(.*)\]$/, '$1')),
    'must be a name or an address, without a port',
  );

export const ProxyUrl = z.url({
  protocol: /^https?$/,
  error: 'must be the http or https URL of a proxy',
});

export const CollectorUrl = z.url({
  protocol: /^https?$/,
  error: 'must be the http or https URL of an OpenTelemetry collector',
});

/** Traces are sent as JSON, which a collector takes at the same path as protobuf. */
export const HttpProtocol = z.enum(
  ['http/json', 'http/protobuf'],
  'must be http/json or http/protobuf: traces are sent over HTTP, as JSON',
);

export const RedisUrl = z.string().superRefine((url, context) => {
  const message = redisUrlFaultOf(url);
  if (message !== null) context.addIssue({ code: 'custom', message });
});

export const CommaList = z.string().transform(list => list.split(',').map(item => item.trim()));

/** A whole number from `least` to `most`, both included. */
export function integer(least: number, most: number) {
  const message = `must be a whole number from ${least} to ${most}`;
  return z.coerce.number(message).int(message).min(least, message).max(most, message);
}

/**
 * Whether the text is a name or an address, with or without a port. Two schemes are tried, because
 * a URL drops its default port.
 */
export function isHost(text: string): boolean {
  return ['http', 'https'].some(scheme => {
    const url = `${scheme}://${text}`;
    return URL.canParse(url) && new URL(url).host === text && !text.includes('*');
  });
}

function redisUrlFaultOf(text: string): string | null {
  try {
    readRedisUrl(text);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

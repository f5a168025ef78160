import { isIP } from 'node:net';
import { parseOriginPattern } from '../http/access/origin-pattern.ts';
import type { EnvironmentValues } from './environment.ts';
import { compileTrust } from '../http/access/client-address.ts';
import { LOOPBACK_HOSTS, isHost } from './variables.ts';

// Each is of no use without the other.
const PAIRS = [
  ['SAIL_CLIENT_ID', 'SAIL_CLIENT_SECRET'],
  ['SAIL_CLIENT_SECRET', 'SAIL_CLIENT_ID'],
] as const;
// What is asked of tokens, by the keys that they are verified with.
const KEYS = [
  ['JWKS_URL', ['JWT_ISSUER', 'JWT_AUDIENCE']],
  ['PASSTHROUGH_JWKS_URL', ['PASSTHROUGH_JWT_ISSUER', 'PASSTHROUGH_JWT_AUDIENCE']],
  ['ROUTER_JWKS_URL', ['ROUTER_JWT_ISSUER', 'ROUTER_JWT_AUDIENCE']],
] as const;
const PROXY_NAMES = new Set(['loopback', 'linklocal', 'uniquelocal']);

/** Checks combinations of variables. Reports each fault under the variable to change. */
export function checkEnvironment(
  env: EnvironmentValues,
  fault: (name: keyof EnvironmentValues, message: string) => void,
): void {
  const mode = env.AUTH_MODE ?? (env.SAIL_BASE_URL ? 'passthrough' : 'service');
  if (mode === 'service' && env.SAIL_BASE_URL && !env.SAIL_CLIENT_ID && !env.SAIL_CLIENT_SECRET)
    fault('SAIL_CLIENT_ID', 'and SAIL_CLIENT_SECRET must be set for AUTH_MODE=service');
  for (const [name, other] of PAIRS)
    if (env[other] && !env[name]) fault(name, `must be set too, because ${other} is`);
  if ((env.SAIL_CLIENT_ID || env.SAIL_CLIENT_SECRET) && !env.SAIL_BASE_URL && !env.SANDBOX)
    fault(
      'SAIL_BASE_URL',
      'must be set too, because the credentials of a client are; SANDBOX=true starts the sandbox all the same',
    );
  for (const [name, others] of KEYS)
    for (const other of others)
      if (env[other] && !env[name]) fault(name, `must be set if ${other} is`);
  if (env.JWKS_URL && mode === 'passthrough')
    fault(
      'JWKS_URL',
      "is for AUTH_MODE=service: in passthrough mode callers' tokens are those of the tenant, whose keys PASSTHROUGH_JWKS_URL names",
    );
  if (env.PASSTHROUGH_JWKS_URL && mode === 'service')
    fault('PASSTHROUGH_JWKS_URL', 'is for AUTH_MODE=passthrough; in service mode JWKS_URL is used');
  const isLoopback = LOOPBACK_HOSTS.has(env.HOST);
  if (env.SANDBOX && env.SAIL_BASE_URL)
    fault('SANDBOX', 'must not be true if SAIL_BASE_URL is set');
  if (!env.SANDBOX && mode === 'service' && !env.JWKS_URL && !isLoopback)
    fault(
      'HOST',
      `must be a loopback address if AUTH_MODE=service has no JWKS_URL, because every client would use its credentials${env.SAIL_BASE_URL ? '' : '; SANDBOX=true allows other addresses for the sandbox'}`,
    );
  else if (!env.SANDBOX && !env.SAIL_BASE_URL && !isLoopback)
    fault(
      'SANDBOX',
      'must be true to serve the invented tasks of the sandbox to other machines; for a tenant, set SAIL_BASE_URL',
    );
  if (env.JWKS_URL && !(env.JWT_ISSUER && env.JWT_AUDIENCE))
    fault('JWT_ISSUER', 'and JWT_AUDIENCE must be set if JWKS_URL is set');
  if (env.ROUTER_JWKS_URL && !(env.ROUTER_JWT_ISSUER && env.ROUTER_JWT_AUDIENCE))
    fault('ROUTER_JWT_ISSUER', 'and ROUTER_JWT_AUDIENCE must be set if ROUTER_JWKS_URL is set');
  if (env.DIRECT_TRAFFIC === 'refuse' && !env.ROUTER_SECRET && !env.ROUTER_JWKS_URL)
    fault(
      'DIRECT_TRAFFIC',
      'can be refuse only if ROUTER_SECRET or ROUTER_JWKS_URL identifies the router',
    );
  for (const proxy of env.TRUST_PROXY)
    if (!isProxyAddress(proxy))
      fault(
        'TRUST_PROXY',
        `must be addresses or networks such as 10.0.0.0/8, or loopback, linklocal or uniquelocal; ${JSON.stringify(proxy)} is not one`,
      );
  for (const host of env.SUBSCRIPTION_CALLBACK_HOSTS)
    if (!isHost(host))
      fault(
        'SUBSCRIPTION_CALLBACK_HOSTS',
        `must be hosts such as router.example.com or 10.0.0.7:4000; ${JSON.stringify(host)} is not one`,
      );
  for (const origin of env.CORS_ORIGINS)
    if (parseOriginPattern(origin) === null)
      fault(
        'CORS_ORIGINS',
        `must be origins such as https://app.example.com, https://*.example.com or capacitor://localhost; ${JSON.stringify(origin)} is not one`,
      );
  if (env.REDIS_STARTUP === 'require' && !env.REDIS_URL)
    fault('REDIS_STARTUP', 'can be require only if REDIS_URL is set');
  if (env.METRICS_PORT === env.PORT && env.PORT !== 0)
    fault('METRICS_PORT', 'must differ from PORT');
  if (env.PERSISTED_DOCUMENTS_ONLY && !env.PERSISTED_DOCUMENTS)
    fault('PERSISTED_DOCUMENTS_ONLY', 'can be true only if PERSISTED_DOCUMENTS is set');
}

function isProxyAddress(text: string): boolean {
  // Other programs take a number of proxies here, which would be read as an address.
  if (isIP(text.split('/', 1)[0] ?? '') === 0) return PROXY_NAMES.has(text);
  try {
    compileTrust([text]);
    return true;
  } catch {
    return false;
  }
}

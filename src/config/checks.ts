import { parseOriginPattern } from '../http/access/origin-pattern.ts';
import type { EnvironmentValues } from './environment.ts';
import { compileTrust } from '../http/access/client-address.ts';
import { LOOPBACK_HOSTS, isHost } from './variables.ts';

/** Checks combinations of variables. Reports each fault under the variable to change. */
export function checkEnvironment(
  env: EnvironmentValues,
  fault: (name: keyof EnvironmentValues, message: string) => void,
): void {
  const isService = env.AUTH_MODE === 'service';
  if (isService && env.SAIL_BASE_URL && !(env.SAIL_CLIENT_ID && env.SAIL_CLIENT_SECRET))
    fault('SAIL_CLIENT_ID', 'and SAIL_CLIENT_SECRET must be set for AUTH_MODE=service');
  const isLoopback = LOOPBACK_HOSTS.has(env.HOST);
  if (env.SANDBOX && env.SAIL_BASE_URL)
    fault('SANDBOX', 'must not be true if SAIL_BASE_URL is set');
  if (
    !env.SANDBOX &&
    (env.AUTH_MODE ?? (env.SAIL_BASE_URL ? 'passthrough' : 'service')) === 'service' &&
    !env.JWKS_URL &&
    !isLoopback
  )
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
  if (env.PERSISTED_DOCUMENTS_ONLY && !env.PERSISTED_DOCUMENTS)
    fault('PERSISTED_DOCUMENTS_ONLY', 'can be true only if PERSISTED_DOCUMENTS is set');
}

function isProxyAddress(text: string): boolean {
  try {
    compileTrust([text]);
    return true;
  } catch {
    return false;
  }
}

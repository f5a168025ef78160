const build = process.env.GATEWAY_BUILD ?? new URL('../../../dist/', import.meta.url).href;
const { readConfig, startGateway } = await import(new URL('gateway.js', build).href);

/** A build of the gateway, with its defaults but for a limit that it never reaches. */
export function start(upstream) {
  const { baseUrl, ...config } = readConfig({
    LOG_LEVEL: 'error',
    PORT: '0',
    SAIL_BASE_URL: upstream,
    UPSTREAM_RATE_LIMIT: '1000000',
    UPSTREAM_RATE_WINDOW_MS: '1000',
    ...(process.env.MAX_STALENESS_MS && { MAX_STALENESS_MS: process.env.MAX_STALENESS_MS }),
  });
  return startGateway({ ...config, baseUrl });
}

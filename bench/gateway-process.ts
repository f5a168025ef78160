import { readConfig } from '../src/config.ts';
import { startGateway } from '../src/gateway.ts';
import { createMetrics } from '../src/metrics.ts';

// The process that bench/gateway.ts forks. It reports its URL, and its resource use on request.
const config = readConfig(process.env);
if (config.baseUrl === null) throw new Error('SAIL_BASE_URL must be set.');
const { url } = await startGateway(
  { ...config, baseUrl: config.baseUrl },
  undefined,
  undefined,
  createMetrics({ process: true }),
);
process.send?.({ url });
process.on('message', message => {
  // Before the collection, which is not what is measured.
  const { user, system } = process.cpuUsage();
  if (message === 'usage') globalThis.gc?.();
  const { heapUsed, rss } = process.memoryUsage();
  process.send?.({
    heapMb: heapUsed / 2 ** 20,
    rssMb: rss / 2 ** 20,
    // Of its whole life.
    maxRssMb: process.resourceUsage().maxRSS / 1024,
    cpuSeconds: (user + system) / 1e6,
    resources: process.getActiveResourcesInfo().length,
  });
});

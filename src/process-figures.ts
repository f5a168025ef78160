import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, type Registry } from 'prom-client';

const NANOSECONDS = 1e9;
const RESOLUTION_MS = 10;
const STARTED_AT = Date.now() / 1000 - process.uptime();

/**
 * Registers the figures of the Node process, under the names that prom-client's own have, so that
 * dashboards for Node fit. Prom-client's cannot be stopped again. The returned function stops
 * these.
 */
export function registerProcessFigures(registry: Registry): () => void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });

  const cpu = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'CPU time of the process, user and system.',
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
    registers: [],
  });
  registry.registerMetric(cpu);
  gauge('process_resident_memory_bytes', 'Memory of the process.', () => process.memoryUsage.rss());
  gauge(
    'process_start_time_seconds',
    'When the process started, since the epoch.',
    () => STARTED_AT,
  );
  gauge('nodejs_heap_size_used_bytes', 'Heap in use.', () => process.memoryUsage().heapUsed);
  gauge(
    'nodejs_active_resources',
    'Handles and requests that keep the process running.',
    () => process.getActiveResourcesInfo().length,
  );
  gauge(
    'nodejs_eventloop_lag_mean_seconds',
    'Mean delay of the event loop since the last scrape.',
    () => toSeconds(delay.mean),
  );
  gauge('nodejs_eventloop_lag_p99_seconds', 'The 99th percentile of it.', () =>
    toSeconds(delay.percentile(99)),
  );
  gauge('nodejs_eventloop_lag_max_seconds', 'The longest of it.', () => {
    const max = toSeconds(delay.max);
    // The last of these to be collected: the next scrape sees what comes from here on.
    delay.reset();
    return max;
  });
  return () => void delay.disable();

  /** Node measures the time between two samples, so the interval between them is no delay. */
  function toSeconds(nanoseconds: number): number {
    if (delay.count === 0) return 0;
    return Math.max(0, nanoseconds / NANOSECONDS - RESOLUTION_MS / 1000);
  }
}

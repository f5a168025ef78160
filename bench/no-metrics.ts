import { type Metrics, createMetrics } from '../src/metrics.ts';

/** Metrics that record nothing, to measure what recording costs. */
export function createNoMetrics(): Metrics {
  const names = Object.keys(createMetrics()).filter(name => name !== 'contentType');
  const functions = Object.fromEntries(names.map(name => [name, () => undefined]));
  return { ...functions, contentType: 'text/plain', render: async () => '' } as unknown as Metrics;
}

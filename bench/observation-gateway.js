// The process of the gateway that bench/observation.ts measures: as built, because tsx gives each
// function an own name, which takes longer than some of what is measured. It reports its URL, and
// its resource use on request.
import { reportUsage } from './report-usage.js';

const built = path => import(new URL(`../dist/${path}`, import.meta.url).href);
const { readConfig, startGateway } = await built('gateway.js');
const { createMetrics } = await built('metrics.js');

const { baseUrl, ...config } = readConfig(process.env);
const metrics = createMetrics({ process: true });
const isObserved = process.env.BENCH_METRICS === 'true';
const { url } = await startGateway(
  { ...config, baseUrl },
  undefined,
  undefined,
  isObserved ? metrics : withoutRecording(metrics),
);
reportUsage(url);

/** Metrics that record nothing. */
function withoutRecording({ contentType, close, ...recorders }) {
  close();
  const nothing = Object.keys(recorders).map(name => [name, () => undefined]);
  return { ...Object.fromEntries(nothing), render: async () => '', close: () => {}, contentType };
}

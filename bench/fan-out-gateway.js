// The process of the gateway that bench/fan-out.ts measures: as built, because tsx gives each
// function an own name, which takes memory for each subscriber. It reports its URL, and its
// resource use on request.
import { reportUsage } from './report-usage.js';

const { readConfig, startGateway } = await import(
  new URL('../dist/gateway.js', import.meta.url).href
);
const { baseUrl, ...config } = readConfig(process.env);
const { url } = await startGateway({ ...config, baseUrl });
reportUsage(url);

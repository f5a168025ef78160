// The process of the gateway that bench/observation.ts measures: as built, because tsx gives each
// function an own name, which takes longer than some of what is measured. It reports its URL, and
// its resource use on request. A message can turn its log and its metrics on and off.
import { reportUsage } from './report-usage.js';

const built = path => import(new URL(`../dist/${path}`, import.meta.url).href);
const { readConfig, startGateway } = await built('gateway.js');
const { createLog } = await built('log.js');
const { createMetrics } = await built('metrics.js');

const { baseUrl, ...config } = readConfig(process.env);
const { contentType, render, attach, close, ...recorders } = createMetrics({ process: true });
const isOn = { log: true, metrics: true };
const { url } = await startGateway(
  { ...config, baseUrl },
  undefined,
  switchable('log', linesOf(createLog('info'))),
  { ...switchable('metrics', recorders), contentType, render, attach, close },
);
process.on('message', ({ observe }) => void Object.assign(isOn, observe));
reportUsage(url);

function linesOf(log) {
  const names = ['debug', 'info', 'warn', 'error', 'infoJson'];
  return Object.fromEntries(names.map(name => [name, log[name].bind(log)]));
}

/** The same functions, which do nothing while they are turned off. */
function switchable(name, functions) {
  return Object.fromEntries(
    Object.entries(functions).map(([key, run]) => [
      key,
      (...args) => (isOn[name] ? run(...args) : undefined),
    ]),
  );
}

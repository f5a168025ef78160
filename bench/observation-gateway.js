// The process of the gateway that bench/observation.ts measures: as built, because tsx gives each
// function an own name, which takes longer than some of what is measured. It reports its URL, and
// its resource use on request. A message turns its log and its metrics on and off, another profiles
// it. With OBSERVE=nothing it has neither a log nor metrics.
import { setTimeout as wait } from 'node:timers/promises';
import { profileShares } from './profile-shares.js';
import { reportUsage } from './report-usage.js';

const built = path => import(new URL(`../dist/${path}`, import.meta.url).href);
const { readConfig, startGateway } = await built('gateway.js');
const { createLog } = await built('log.js');
const { createMetrics } = await built('metrics.js');

const { baseUrl, ...config } = readConfig(process.env);
const isOn = { log: true, metrics: true };
const parts = process.env.OBSERVE === 'nothing' ? createNothing() : createBoth();
const { url } = await startGateway({ ...config, baseUrl }, undefined, parts.log, parts.metrics);
process.on('message', async ({ observe, profileMs }) => {
  if (observe !== undefined) process.send({ ...Object.assign(isOn, observe) });
  if (profileMs !== undefined) process.send(await profileShares(() => wait(profileMs)));
});
reportUsage(url);

function createBoth() {
  const { contentType, render, attach, close, ...recorders } = createMetrics({ process: true });
  const log = createLog('info');
  const names = ['debug', 'info', 'warn', 'error', 'infoJson'];
  const lines = Object.fromEntries(names.map(name => [name, log[name].bind(log)]));
  return {
    log: switchable('log', lines),
    metrics: { ...switchable('metrics', recorders), contentType, render, attach, close },
  };
}

function createNothing() {
  const nothing = Object.keys(createMetrics()).map(name => [name, () => {}]);
  return { log: createLog('silent'), metrics: Object.fromEntries(nothing) };
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

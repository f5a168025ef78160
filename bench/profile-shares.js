import { Session } from 'node:inspector/promises';

// Which part of the gateway a function belongs to. What a part calls counts for it too.
const PARTS = {
  log: /\/dist\/((pretty-)?log|standard-output)\.js$|\/operation-line\.js$|\/(pino|sonic-boom)\//,
  metrics: /\/dist\/(deferred-)?metrics\.js$|\/prom-client\//,
  traces: /\/otlp-tracer\.js$|\/@opentelemetry\//,
};

/**
 * The parts of the main thread's busy time that were spent in each of these, in percent, while
 * `run` was pending.
 */
export async function profileShares(run) {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 200 });
  await session.post('Profiler.start');
  await run();
  const { profile } = await session.post('Profiler.stop');
  session.disconnect();
  return sharesOf(profile);
}

function sharesOf({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map(node => [node.id, node]));
  const parents = new Map(
    nodes.flatMap(({ id, children = [] }) => children.map(child => [child, id])),
  );
  const spent = { log: 0, metrics: 0, traces: 0 };
  let busy = 0;
  samples.forEach((sample, index) => {
    if (byId.get(sample).callFrame.functionName === '(idle)') return;
    busy += timeDeltas[index];
    for (let id = sample; id !== undefined; id = parents.get(id)) {
      const { url } = byId.get(id).callFrame;
      const part = Object.keys(PARTS).find(name => PARTS[name].test(url));
      if (part === undefined) continue;
      spent[part] += timeDeltas[index];
      break;
    }
  });
  return Object.fromEntries(
    Object.entries(spent).map(([part, micros]) => [part, (100 * micros) / busy]),
  );
}

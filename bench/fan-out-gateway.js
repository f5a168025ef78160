// The process of the gateway that bench/fan-out.ts measures: as built, because tsx gives each function an own name,
// which takes memory for each subscriber. It reports its URL, and its resource use on request.
const { readConfig, startGateway } = await import(
  new URL('../dist/gateway.js', import.meta.url).href
);
const { baseUrl, ...config } = readConfig(process.env);
const { url } = await startGateway({ ...config, baseUrl });
process.send({ url });
process.on('message', message => {
  const { user, system } = process.cpuUsage();
  if (message === 'usage') globalThis.gc();
  const { heapUsed, rss } = process.memoryUsage();
  process.send({
    heapMb: heapUsed / 2 ** 20,
    rssMb: rss / 2 ** 20,
    cpuSeconds: (user + system) / 1e6,
  });
});

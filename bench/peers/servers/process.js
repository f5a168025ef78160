// A process that the bench forks: it starts the server named in its arguments, reports its URL, and then
// its resource use whenever it is asked.
const [file, upstream] = process.argv.slice(2);
const { start } = await import(new URL(`${file}.js`, import.meta.url).href);
const { url, requests = () => 0 } = await start(upstream);
process.send({ url });
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  const rssMb = process.memoryUsage.rss() / 2 ** 20;
  process.send({ cpuMs: (user + system) / 1_000, rssMb, requests: requests() });
});
process.once('disconnect', () => process.exit());

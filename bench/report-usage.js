import { PerformanceObserver } from 'node:perf_hooks';

/** Tells the parent process the gateway's URL, and its resource use each time that it asks. */
export function reportUsage(url) {
  let collectionMs = 0;
  const observer = new PerformanceObserver(note);
  observer.observe({ entryTypes: ['gc'] });
  process.send({ url });
  process.on('message', message => {
    const { user, system } = process.cpuUsage();
    note(observer);
    const collectionSeconds = collectionMs / 1000;
    if (message === 'usage') globalThis.gc();
    const { heapUsed, rss } = process.memoryUsage();
    process.send({
      heapMb: heapUsed / 2 ** 20,
      rssMb: rss / 2 ** 20,
      cpuSeconds: (user + system) / 1e6,
      collectionSeconds,
    });
  });

  function note(entries) {
    const list = entries.takeRecords?.() ?? entries.getEntries();
    for (const { duration } of list) collectionMs += duration;
  }
}

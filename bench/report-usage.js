import { subscribe } from 'node:diagnostics_channel';

/** Tells the parent process the gateway's URL, and its resource use each time that it asks. */
export function reportUsage(url) {
  let requests = 0;
  subscribe('http.server.response.finish', () => requests++);
  process.send({ url });
  process.on('message', message => {
    if (message !== 'usage' && message !== 'cpu') return;
    const { user, system } = process.cpuUsage();
    if (message === 'usage') globalThis.gc();
    const { heapUsed, rss } = process.memoryUsage();
    process.send({
      heapMb: heapUsed / 2 ** 20,
      rssMb: rss / 2 ** 20,
      cpuSeconds: (user + system) / 1e6,
      requests,
    });
  });
}

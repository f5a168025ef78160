// Reports the resource use of this process whenever its parent asks.
let requests = () => 0;

/** Counts the requests that the server has received, where it counts them. */
export function countRequests(count) {
  requests = count;
}

process.on('message', () => {
  const { user, system } = process.cpuUsage();
  const { rss, heapTotal } = process.memoryUsage();
  process.send({
    cpuMs: (user + system) / 1_000,
    rssMb: rss / 2 ** 20,
    heapMb: heapTotal / 2 ** 20,
    requests: requests(),
  });
});
process.once('disconnect', () => process.exit());

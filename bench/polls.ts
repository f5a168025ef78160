import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { performance } from 'node:perf_hooks';
import { forkGateway } from './gateway.ts';
import { type Received, openSocket, until } from './subscribers.ts';
import { startTenant } from './tenant.ts';

// What a poll of many watched tasks costs the gateway: processor time, upstream requests and bytes
// received. Every task is due in each interval for the first ten; the polls measured are among
// those.
const POLLS = 4;
const INTERVAL_MS = 1_500;
const CHANGED_SHARE = 0.01;
const IDLE_MS = 150;

const rows = [];
for (const tasks of [1_000, 10_000]) rows.push(...(await measure(tasks)));
console.table(rows);

async function measure(tasks: number) {
  const { sandbox, ids } = await startTenant(tasks, { rateLimit: Infinity });
  const wire = await startWire(sandbox.url);
  const gateway = await forkGateway(
    { ...sandbox, url: wire.url },
    {
      PROGRESS_INTERVAL_MS: String(INTERVAL_MS),
      UPSTREAM_RATE_LIMIT: '100000',
      MAX_SUBSCRIPTIONS_PER_CONNECTION: String(tasks),
    },
  );
  const received: Received = { events: 0, ended: 0, at: [] };
  const close = await openSocket(gateway.url, ids, received);
  await until(() => received.events >= tasks);
  await polls(2);

  const measured = [];
  for (const changed of [0, CHANGED_SHARE * tasks]) {
    // Not `usage`, whose collection would be part of what is measured.
    const before = await gateway.cpuSeconds();
    const bytesBefore = wire.bytes();
    const requestsBefore = sandbox.journal.requests.length;
    const pollsBefore = begun();
    for (let poll = 0; poll < POLLS; poll++) {
      // Some on each page, or most pages would be as they were.
      for (let place = poll; place < changed / CHANGED_SHARE; place += 1 / CHANGED_SHARE)
        sandbox.tenant.correct(ids[place]!, { completedAt: Date.now() + poll });
      await polls(1);
    }
    const after = await gateway.cpuSeconds();
    const made = begun() - pollsBefore;
    measured.push({
      'watched tasks': tasks,
      'changed a poll': changed,
      'processor ms a poll': Math.round(((after - before) * 1000) / POLLS),
      'upstream requests a poll': Math.round(
        (sandbox.journal.requests.length - requestsBefore) / made,
      ),
      'kB received a poll': Math.round((wire.bytes() - bytesBefore) / made / 1000),
    });
  }
  close();
  await gateway.close();
  wire.close();
  await sandbox.close();
  return measured;

  /** Polls so far: each begins with the first page of the running tasks. */
  function begun(): number {
    const isFirstPage = ({ query }: { query: string }) =>
      query.includes('isnull') && !query.includes('offset');
    return sandbox.journal.requests.filter(isFirstPage).length;
  }

  /** Waits until so many polls have begun, and ended: for a while, there was no request. */
  async function polls(count: number): Promise<void> {
    const before = begun();
    await until(() => begun() >= before + count);
    let last = -1;
    let idleSince = 0;
    await until(() => {
      const { length } = sandbox.journal.requests.filter(({ isClosed }) => isClosed);
      const isIdle = length === last && length === sandbox.journal.requests.length;
      if (!isIdle) idleSince = performance.now();
      last = length;
      return performance.now() - idleSince > IDLE_MS;
    });
  }
}

/** A proxy to the tenant that counts the bytes of answers. */
async function startWire(target: string) {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let bytes = 0;
  const server = createServer(near => {
    const far = connect(Number(port), hostname);
    far.on('data', chunk => (bytes += chunk.length));
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
    }
    near.pipe(far).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bytes: () => bytes,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { createClient as createSseClient } from 'graphql-sse';
import { createClient as createWsClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { startNginx } from '../test/support/nginx.ts';
import { firstLine } from '../test/support/process.ts';
import { startRedis } from '../test/support/redis.ts';
import { environmentOver, postGraphQL } from '../test/support/start.ts';
import { startTenant } from './tenant.ts';

// Two instances behind nginx, a thousand subscribers over all transports and fifty queries a
// second. One instance gets SIGTERM, and a WebSocket of it that never answers is among its
// connections. `npm run build` comes first.
const TASKS = 100;
const SUBSCRIBERS = 1_000;
const QUERIES_A_SECOND = 50;
const GRACE_MS = 10_000;
const TRANSPORTS = ['WebSocket', 'SSE', 'SSE, one connection', 'multipart'] as const;
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id state } }';

const afterwards: (() => unknown)[] = [];
const context = { after: (run?: unknown) => void afterwards.unshift(run as () => unknown) };
const { sandbox, ids } = await startTenant(TASKS, { rateLimit: Infinity });
const redis = await startRedis(context as never);
const env = {
  ...environmentOver(sandbox),
  REDIS_URL: redis.url,
  UPSTREAM_RATE_LIMIT: '100000',
  MAX_SUBSCRIPTIONS_PER_CONNECTION: '5000',
  SHUTDOWN_GRACE_MS: String(GRACE_MS),
};
const instances = await Promise.all([startInstance(), startInstance()]);
const origin = await startNginx(
  context,
  instances.map(({ url }) => url),
);
const url = `${origin}/graphql`;
const retry = {
  retryAttempts: 1_000,
  shouldRetry: () => true,
  retryWait: () => wait(100 + Math.random() * 400),
};

const states = Array.from({ length: SUBSCRIBERS }, () => [] as string[]);
const subscribers = states.map((seen, place) =>
  follow(TRANSPORTS[place % TRANSPORTS.length]!, ids[place % TASKS]!, seen),
);
while (!states.every(seen => seen.length > 0)) await wait(50);
await openMuteSocket(instances[0].url);

const outcome = { answered: 0, failed: 0 };
const waits: number[] = [];
let isRunning = true;
const queries = (async () => {
  const all: Promise<void>[] = [];
  for (let at = performance.now(); isRunning; at += 1_000 / QUERIES_A_SECOND) {
    await wait(Math.max(0, at - performance.now()));
    all.push(query());
  }
  await Promise.all(all);
})();
await wait(2_000);
const before = states.map(seen => seen.length);
const stoppedAt = performance.now();
const [leaving] = instances;
const exited = once(leaving.child, 'exit');
leaving.child.kill('SIGTERM');
const [code] = (await exited) as [number];
const exitedAfterMs = performance.now() - stoppedAt;
await wait(3_000);
isRunning = false;
await queries;
const reconnected = states.filter((seen, place) => seen.length > before[place]!).length;
for (const id of ids) sandbox.tenant.finish(id);
await Promise.race([Promise.all(subscribers), wait(30_000)]);
console.table({
  'exit code': code,
  'seconds until the exit': Number((exitedAfterMs / 1_000).toFixed(1)),
  'queries answered': outcome.answered,
  'queries failed': outcome.failed,
  'longest query, ms': Math.round(Math.max(...waits)),
  'subscribers that connected again': reconnected,
  'subscribers that got the end of their task': states.filter(seen => seen.at(-1) === 'COMPLETED')
    .length,
});
for (const run of afterwards) await run();
process.exit(0);

async function startInstance(): Promise<{ url: string; child: ChildProcess }> {
  const child = spawn(process.execPath, ['dist/main.js', 'serve'], {
    env: { PATH: process.env['PATH'], ...env },
  });
  afterwards.push(() => child.kill('SIGKILL'));
  const [, address = ''] = /^GraphQL at (\S+), over/.exec(await firstLine(child)) ?? [];
  return { url: address, child };
}

async function query(): Promise<void> {
  const id = ids[outcome.answered % TASKS]!;
  const startedAt = performance.now();
  try {
    const { data } = await postGraphQL(url, `{ taskStatus(id: "${id}") { id } }`);
    if (data?.taskStatus?.id === id) outcome.answered++;
    else outcome.failed++;
  } catch {
    outcome.failed++;
  }
  waits.push(performance.now() - startedAt);
}

function follow(transport: (typeof TRANSPORTS)[number], id: string, seen: string[]): Promise<void> {
  if (transport === 'multipart') return followMultipart(id, seen);
  const client =
    transport === 'WebSocket'
      ? createWsClient({ url: url.replace('http', 'ws'), webSocketImpl: WebSocket, ...retry })
      : transport === 'SSE'
        ? createSseClient({ url, ...retry })
        : createSseClient({ url: `${url}/stream`, singleConnection: true, ...retry });
  return new Promise((resolve, reject) => {
    client.subscribe<{ taskProgress: { state: string } }>(
      { query: PROGRESS, variables: { id } },
      {
        next: ({ data }) => void (data && seen.push(data.taskProgress.state)),
        error: reject,
        complete: resolve,
      },
    );
  });
}

/** Reads parts until one says that the task has ended, with as many requests as that takes. */
async function followMultipart(id: string, seen: string[]): Promise<void> {
  while (seen.at(-1) !== 'COMPLETED') {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'multipart/mixed;subscriptionSpec=1.0, application/json',
        },
        body: JSON.stringify({ query: PROGRESS, variables: { id } }),
      });
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>)
        for (const [, state = ''] of new TextDecoder().decode(chunk).matchAll(/"state":"(\w+)"/g))
          seen.push(state);
    } catch {
      // The connection was broken off, or refused; the next one goes to another instance.
    }
    if (seen.at(-1) !== 'COMPLETED') await retry.retryWait();
  }
}

/** A WebSocket that neither reads nor answers. */
async function openMuteSocket(address: string): Promise<void> {
  const { port } = new URL(address);
  const socket = connect(Number(port), '127.0.0.1');
  socket.on('error', () => {});
  socket.write(
    'GET /graphql HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n',
  );
  await once(socket, 'data');
  socket.pause();
}

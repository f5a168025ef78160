import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';

/** A Redis of the test's own, that it may kill and start again on the same port. */
export interface RedisServer {
  url: string;
  kill(): Promise<void>;
  start(): Promise<void>;
}

const { REDIS_URL } = process.env;
const HAS_SERVER = spawnSync('redis-server', ['--version']).status === 0;

/** Why tests that need a Redis cannot run here; false where they can. CI has one, and skips nothing. */
export const WITHOUT_REDIS: string | false =
  HAS_SERVER || REDIS_URL
    ? false
    : 'SKIPPED: there is neither a redis-server on this machine nor a REDIS_URL, and nothing of the fleet was tested';

/** The same of tests that kill it, too. */
export const WITHOUT_OWN_REDIS: string | false = HAS_SERVER
  ? false
  : 'SKIPPED: there is no redis-server on this machine, and no Redis was lost';

/** A Redis whose address is all that is wanted: one of the test's own, or else the one at REDIS_URL. */
export async function redisUrlFor(t: TestContext): Promise<string> {
  return HAS_SERVER ? (await startRedis(t)).url : (REDIS_URL ?? '');
}

/** Starts one, killed after the test. */
export async function startRedis(t: TestContext): Promise<RedisServer> {
  const server = await spawnRedis();
  t.after(() => server.kill());
  return server;
}

export async function spawnRedis(): Promise<RedisServer> {
  const port = await freePort();
  let child: ChildProcess | null = null;
  const server: RedisServer = {
    url: `redis://127.0.0.1:${port}`,
    async kill() {
      if (child === null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
      child = null;
    },
    async start() {
      child = spawn('redis-server', [
        '--port',
        String(port),
        '--bind',
        '127.0.0.1',
        '--save',
        '',
        '--appendonly',
        'no',
      ]);
      for await (const line of createInterface({ input: child.stdout! }))
        if (line.includes('Ready to accept connections')) break;
    },
  };
  await server.start();
  return server;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';

/** A Redis that only this test uses and may kill and restart on the same port. */
export interface RedisServer {
  url: string;
  port: number;
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Suspends the process: connections stay open, but nothing is answered. */
  freeze(): void;
  thaw(): void;
}

export interface RedisServerOptions {
  port?: number;
  /** Additional arguments. */
  args?: readonly string[];
  /** The log line that shows that it is ready. */
  readyLine?: string;
}

const { REDIS_URL } = process.env;
const HAS_SERVER = spawnSync('redis-server', ['--version']).status === 0;

/** Why tests that need a Redis are skipped; false if they can run, as they always do in CI. */
export const WITHOUT_REDIS: string | false =
  HAS_SERVER || REDIS_URL
    ? false
    : 'SKIPPED: there is neither a redis-server on this machine nor a REDIS_URL, and nothing of the fleet was tested';

/** The same for tests that kill their Redis. */
export const WITHOUT_OWN_REDIS: string | false = HAS_SERVER
  ? false
  : 'SKIPPED: there is no redis-server on this machine, and no Redis was lost';

/** The URL of a Redis that tests may share: a new one, or the one at REDIS_URL. */
export async function redisUrlFor(t: TestContext): Promise<string> {
  return HAS_SERVER ? (await startRedis(t)).url : (REDIS_URL ?? '');
}

/** Starts a Redis, which is killed after the test. */
export async function startRedis(
  t: TestContext,
  options?: RedisServerOptions,
): Promise<RedisServer> {
  const server = await spawnRedis(options);
  t.after(() => server.kill());
  return server;
}

export async function spawnRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const { args = [], readyLine = 'Ready to accept connections' } = options;
  const port = options.port ?? (await freePort());
  // The next server must not find files written by a replica or a cluster.
  const directory = join(tmpdir(), `redis-${port}-${randomUUID()}`);
  let child: ChildProcess | null = null;
  const server: RedisServer = {
    url: `redis://127.0.0.1:${port}`,
    port,
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    async kill() {
      if (child === null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
      child = null;
      rmSync(directory, { recursive: true, force: true });
    },
    async start() {
      mkdirSync(directory);
      child = spawn('redis-server', [
        // A configuration file must be the first argument.
        ...args.filter(arg => arg.endsWith('.conf')),
        '--port',
        String(port),
        '--bind',
        '127.0.0.1',
        '--save',
        '',
        '--appendonly',
        'no',
        '--dir',
        directory,
        ...args.filter(arg => !arg.endsWith('.conf')),
      ]);
      for await (const line of createInterface({ input: child.stdout! }))
        if (line.includes(readyLine)) break;
      // If its log were not read, the pipe would fill up and block it.
      child.stdout?.resume();
    },
  };
  await server.start();
  return server;
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

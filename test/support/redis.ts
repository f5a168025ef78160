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

/** Why tests that need a Redis cannot run here; false where they can. CI has one, and skips nothing. */
export const WITHOUT_REDIS: string | false =
  spawnSync('redis-server', ['--version']).status === 0
    ? false
    : 'SKIPPED: there is no redis-server on this machine, and nothing of the fleet was tested';

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

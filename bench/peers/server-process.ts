import { type ChildProcess, type ForkOptions, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** What a process has used since it started. */
export interface Usage {
  cpuMs: number;
  rssMb: number;
  heapMb: number;
  /** Requests that it received, where it counts them. */
  requests: number;
}

/** A server in a process of its own. */
export interface ServerProcess {
  url: string;
  usage(): Promise<Usage>;
  close(): Promise<void>;
}

const SERVERS = join(import.meta.dirname, 'servers');

/** Starts one of the servers in `servers/`, over this upstream. */
export function forkServer(name: string, upstream = ''): Promise<ServerProcess> {
  return toServer(fork(join(SERVERS, 'process.js'), [name, upstream], optionsOf({}, [])));
}

/**
 * Starts the program of this build of the gateway, with its defaults but for a limit that it never
 * reaches.
 */
export function forkGateway(
  dist: string,
  upstream: string,
  env: Record<string, string> = {},
): Promise<ServerProcess> {
  const variables = {
    LOG_LEVEL: 'error',
    PORT: '0',
    SAIL_BASE_URL: upstream,
    UPSTREAM_RATE_LIMIT: '1000000',
    UPSTREAM_RATE_WINDOW_MS: '1000',
    ...env,
  };
  const flags = ['--enable-source-maps', '--import', join(SERVERS, 'usage.js')];
  return toServer(fork(join(dist, 'main.js'), optionsOf(variables, flags)));
}

function optionsOf(env: Record<string, string>, execArgv: string[]): ForkOptions {
  return {
    execArgv,
    env: { PATH: process.env['PATH'], NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  };
}

async function toServer(child: ChildProcess): Promise<ServerProcess> {
  return {
    url: await urlOf(child),
    usage() {
      child.send('usage');
      return answer<Usage>(child);
    },
    async close() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** The URL in the line that a server prints when it listens. */
export async function urlOf(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) {
    const [, url] = /^GraphQL at (\S+),/.exec(line) ?? [];
    if (url === undefined) continue;
    child.stdout!.resume();
    return url;
  }
  throw new Error('A server exited before it listened.');
}

/** The next message of the process. Rejects if it exits instead. */
async function answer<T>(child: ChildProcess): Promise<T> {
  const settled = new AbortController();
  const { signal } = settled;
  const exit = once(child, 'exit', { signal }).then(([code]) => {
    throw new Error(`A server exited with ${code}.`);
  });
  try {
    const [message] = (await Promise.race([once(child, 'message', { signal }), exit])) as [T];
    return message;
  } finally {
    exit.catch(() => {});
    settled.abort();
  }
}

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** What a process has used since it started. */
export interface Usage {
  cpuMs: number;
  rssMb: number;
  /** Requests that it received, where it counts them. */
  requests: number;
}

/** A server in a process of its own. */
export interface ServerProcess {
  url: string;
  usage(): Promise<Usage>;
  close(): Promise<void>;
}

/** Starts one of the servers in `servers/`, over this upstream. */
export async function forkServer(
  name: string,
  upstream = '',
  env: Record<string, string> = {},
): Promise<ServerProcess> {
  const child = fork(new URL('servers/process.js', import.meta.url), [name, upstream], {
    execArgv: [],
    env: { PATH: process.env['PATH'], NODE_ENV: 'production', ...env },
  });
  const { url } = await answer<{ url: string }>(child);
  return {
    url,
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

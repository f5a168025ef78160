import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Sandbox } from '../src/sandbox/sandbox.ts';
import { environmentOver } from '../test/support/start.ts';

/** The resources that a gateway's process uses. */
export interface Usage {
  heapMb: number;
  rssMb: number;
  cpuSeconds: number;
  /** Of those, the garbage collector's, if it works on one thread; undefined if it is not noted. */
  collectionSeconds?: number;
  /** Timers, sockets and other handles that keep a process running. */
  resources: number;
}

/** A gateway in its own process, so that the load is not measured with it. */
export interface GatewayProcess {
  url: string;
  /** Heap after a full collection. */
  usage(): Promise<Usage>;
  /** Processor time so far, without a collection for it. */
  cpuSeconds(): Promise<number>;
  /** The same, and how much of it the garbage collector took. */
  processorTime(): Promise<Pick<Usage, 'cpuSeconds' | 'collectionSeconds'>>;
  /** Whether the process has exited without `close`. */
  hasExited(): boolean;
  close(): Promise<void>;
}

/**
 * Starts a gateway over this tenant. `env` is its configuration, `file` the program that runs it.
 */
export async function forkGateway(
  sandbox: Sandbox,
  env: Record<string, string> = {},
  file = 'gateway-process.ts',
  flags: readonly string[] = [],
): Promise<GatewayProcess> {
  const child = fork(new URL(file, import.meta.url), {
    execArgv: ['--expose-gc', ...flags, ...(file.endsWith('.ts') ? ['--import', 'tsx'] : [])],
    // Log lines are written and thrown away.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: {
      PATH: process.env['PATH'],
      ...environmentOver(sandbox),
      LOG_LEVEL: 'error',
      ...env,
    },
  });
  const { url } = await answer<{ url: string }>(child);
  return {
    url,
    usage() {
      child.send('usage');
      return answer<Usage>(child);
    },
    async cpuSeconds() {
      return (await processorTime()).cpuSeconds;
    },
    processorTime,
    hasExited: () => child.exitCode !== null || child.signalCode !== null,
    async close() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };

  function processorTime(): Promise<Usage> {
    child.send('cpu');
    return answer<Usage>(child);
  }
}

async function answer<T>(child: ChildProcess): Promise<T> {
  const [message] = (await once(child, 'message')) as [T];
  return message;
}

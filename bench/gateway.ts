import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Sandbox } from '../src/sandbox/sandbox.ts';
import { environmentOver } from '../test/support/start.ts';

/** The resources that a gateway's process uses. */
export interface Usage {
  heapMb: number;
  rssMb: number;
  cpuSeconds: number;
  /** Requests that were answered; undefined of a program that does not count them. */
  requests?: number;
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
  /** The same, and how many requests were answered. */
  processorTime(): Promise<Pick<Usage, 'cpuSeconds' | 'requests'>>;
  /** Sends the process a message of its own, and resolves with what it answers. */
  ask<T>(message: object): Promise<T>;
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
): Promise<GatewayProcess> {
  const child = fork(new URL(file, import.meta.url), {
    execArgv: ['--expose-gc', ...(file.endsWith('.ts') ? ['--import', 'tsx'] : [])],
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
    ask(message) {
      child.send(message);
      return answer(child);
    },
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

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { firstLine, kill, spawnMain } from './process.ts';
import { environmentOver } from './start.ts';

/** A gateway in its own process. */
export interface GatewayProcess {
  url: string;
  /** Whether the process has exited without being stopped. */
  hasExited(): boolean;
  /** Suspends the process (SIGSTOP) and resumes it. */
  freeze(): void;
  thaw(): void;
  kill(): Promise<void>;
  /** Sends SIGTERM. Resolves to the exit code once the process has exited. */
  terminate(): Promise<number | null>;
}

/** Starts a gateway over a running tenant. `env` adds to its configuration. */
export async function startGatewayProcess(
  t: TestContext,
  sandbox: Sandbox,
  env: Record<string, string>,
): Promise<GatewayProcess> {
  const child = spawnMain(t, ['serve'], {
    ...environmentOver(sandbox),
    ...env,
  });
  const line = await firstLine(child);
  const [, url = ''] = /^GraphQL at (\S+), over/.exec(line) ?? assert.fail(line);
  return {
    url,
    hasExited: () => child.exitCode !== null || child.signalCode !== null,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    kill: () => kill(child),
    async terminate() {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const [code] = (await exited) as [number | null];
      return code;
    },
  };
}

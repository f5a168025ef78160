import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { secretWatchOf } from './secret-watch.ts';

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;

/**
 * Starts the program in its own process, which is killed after the test. `stdout` is a file in place
 * of a pipe.
 */
export function spawnMain(
  t: TestContext,
  args: string[],
  env: Record<string, string> = {},
  stdout: number | 'pipe' = 'pipe',
): ChildProcess {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, ['--import', 'tsx', MAIN, ...args], {
    env: { PATH, HOME, ...env },
    stdio: ['pipe', stdout, 'pipe'],
  });
  const secrets = secretWatchOf(t);
  secrets.addEnvironment(env);
  // The sandbox tells the secret of its client: that is what it is started for.
  if (child.stdout && !args.includes('sandbox')) secrets.watchStream(child.stdout);
  if (child.stderr) secrets.watchStream(child.stderr);
  t.after(() => {
    child.kill('SIGKILL');
    secrets.check();
  });
  return child;
}

/** The first line of a program's output. */
export async function firstLine(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) {
    // Discard later output. If it were not read, the process would block.
    child.stdout?.resume();
    return line;
  }
  return '';
}

/** Kills the process with SIGKILL and waits until it has exited. */
export async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

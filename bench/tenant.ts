import { type SandboxOptions, startSandbox } from '../src/sandbox/sandbox.ts';

/** A tenant of running tasks that complete only when the bench completes them. */
export async function startTenant(tasks: number, options: SandboxOptions = {}) {
  const sandbox = await startSandbox({
    tasks: 0,
    newTaskEveryMs: null,
    oddities: false,
    ...options,
  });
  return { sandbox, ids: sandbox.tenant.addTasks(tasks, { queueMs: 0, runMs: 86_400_000 }) };
}

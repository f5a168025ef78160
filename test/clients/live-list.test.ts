import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Change, createListUpdate } from '../../examples/clients/live-list.ts';

interface Task {
  id: string;
  version: number;
}

/** What happens at the tenant between two events of a stream; `cut` ends the stream unnoticed. */
const STEP = fc.record({
  action: fc.constantFrom('add', 'update', 'end', 'delete', 'cut', 'fail'),
  place: fc.nat(20),
});

/** A tenant, and the stream of its running tasks as the gateway sends it. */
class Tenant {
  readonly running = new Map<string, Task>();
  readonly ended = new Map<string, Task>();
  #version = 0;

  apply(action: string, place: number): Change<Task>[] {
    const ids = [...this.running.keys()];
    const id = action === 'add' ? `task-${++this.#version}` : ids[place % ids.length];
    if (id === undefined) return [];
    const task = { id, version: ++this.#version };
    if (action === 'add' || action === 'update') {
      this.running.set(id, task);
      return [{ kind: action === 'add' ? 'ADDED' : 'UPDATED', taskStatus: task }];
    }
    this.running.delete(id);
    if (action === 'delete') return [];
    this.ended.set(id, task);
    return [{ kind: 'COMPLETED', taskStatus: task }];
  }

  snapshot(): Change<Task>[] {
    const tasks = [...this.running.values()];
    return tasks.map(taskStatus => ({ kind: 'SNAPSHOT', taskStatus }));
  }
}

test('a live list equals what runs after any history of changes and cuts (#14)', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(STEP, { maxLength: 12 }), { maxLength: 6 }),
      async streams => {
        const tenant = new Tenant();
        const shown = new Map<string, Task>();
        const ends = new Map<string, Task | null>();
        const wrong: string[] = [];
        const list = {
          ids: () => shown.keys(),
          replace: (tasks: Task[]) => {
            shown.clear();
            for (const task of tasks) shown.set(task.id, task);
          },
          put: (task: Task) => void shown.set(task.id, task),
          remove: (id: string, ended: Task | null) => {
            shown.delete(id);
            ends.set(id, ended);
            if (tenant.running.has(id)) wrong.push(id);
          },
        };
        const everShown = new Set<string>();
        let isReadable = true;
        const readTask = async (id: string) => {
          if (!isReadable) throw new Error('The connection is lost.');
          return tenant.ended.get(id) ?? tenant.running.get(id) ?? null;
        };
        const follow = async (steps: { action: string; place: number }[]) => {
          const update = createListUpdate(list, readTask);
          const pending: Change<Task>[] = tenant.snapshot();
          // The first changes come in between of the snapshot, and the others after it.
          const endOfSnapshot = Math.floor(steps.length / 2);
          for (const [place, { action, place: which }] of [
            ...steps,
            { action: 'last', place: 0 },
          ].entries()) {
            if (action === 'cut') return;
            if (action === 'fail') isReadable = false;
            if (place === endOfSnapshot)
              pending.push({ kind: 'SNAPSHOT_COMPLETE', taskStatus: null });
            if (action !== 'fail' && action !== 'last')
              pending.push(...tenant.apply(action, which));
            for (const change of pending.splice(0)) await update(change);
            for (const id of shown.keys()) everShown.add(id);
          }
        };
        for (const steps of streams) {
          await follow(steps).catch(() => {});
          isReadable = true;
          // Nobody listens.
          for (const { action, place } of steps.toReversed())
            if (action !== 'cut' && action !== 'fail') tenant.apply(action, place);
        }
        // A deletion is noticed by the next connection only.
        const last = streams.flat().filter(({ action }) => /^(add|update|end)$/.test(action));
        await follow(last);
        assert.deepEqual(wrong, []);
        assert.deepEqual(sorted(shown), sorted(tenant.running));
        // The end of each task that was shown is told, with its last state.
        for (const id of everShown)
          if (!tenant.running.has(id)) assert.deepEqual(ends.get(id), tenant.ended.get(id) ?? null);
      },
    ),
  ));

function sorted(tasks: ReadonlyMap<string, Task>): Task[] {
  return [...tasks.values()].toSorted((one, other) => one.id.localeCompare(other.id));
}

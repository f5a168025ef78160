import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import * as apollo from '../../examples/clients/apollo.ts';
import * as sse from '../../examples/clients/graphql-sse.ts';
import { TasksDocument } from '../../examples/clients/generated/graphql.ts';
import '../support/global-web-socket.ts';
import { openLine } from '../support/line.ts';
import { startGateway } from '../support/start.ts';
import { until } from '../support/until.ts';

const LASTING = { queueMs: 0, runMs: Infinity };
const DELAYS = { delayMs: () => 5 };

/** A list that an example keeps: the ids it shows, and the ends it was given. */
interface Shown {
  tasks(): { id: string; effectivePercentComplete: number }[];
  ended: ({ id: string; completionStatus: string | null } | null)[];
  /** What a client that has just started shows. */
  fresh(): Promise<unknown[]>;
}

async function followByApollo(t: TestContext, lineUrl: string, url: string): Promise<Shown> {
  const client = apollo.createTaskClient({ url: lineUrl });
  const query = { query: TasksDocument, variables: apollo.RUNNING };
  const ended: Shown['ended'] = [];
  const following = apollo.followRunningTasks(client, {
    ...DELAYS,
    onEnded: task => ended.push(task),
    onError: assert.ifError,
  });
  t.after(() => {
    following.unsubscribe();
    client.stop();
  });
  return {
    ended,
    tasks: () => (client.readQuery(query)?.taskStatuses.edges ?? []).map(({ node }) => node),
    fresh: async () => {
      const { data } = await apollo
        .createTaskClient({ url })
        .query({ query: TasksDocument, variables: apollo.RUNNING });
      return data!.taskStatuses.edges.map(({ node }) => node);
    },
  };
}

async function followBySse(t: TestContext, lineUrl: string, url: string): Promise<Shown> {
  const client = sse.createTaskClient(lineUrl);
  const tasks = new Map<string, sse.Task>();
  const ended: Shown['ended'] = [];
  const stopping = new AbortController();
  const following = sse.followRunningTasks(
    client,
    {
      ids: () => tasks.keys(),
      replace: all => {
        tasks.clear();
        for (const task of all) tasks.set(task.id, task);
      },
      put: task => tasks.set(task.id, task),
      remove: (id, task) => {
        tasks.delete(id);
        ended.push(task);
      },
    },
    { ...DELAYS, signal: stopping.signal },
  );
  t.after(async () => {
    stopping.abort();
    await following;
    client.dispose();
  });
  return {
    ended,
    tasks: () => [...tasks.values()],
    fresh: async () => {
      const reader = sse.createTaskClient(url);
      t.after(() => reader.dispose());
      const fresh = new Map<string, sse.Task>();
      const first = new AbortController();
      await sse.followRunningTasks(
        reader,
        {
          ids: () => fresh.keys(),
          replace: all => {
            for (const task of all) fresh.set(task.id, task);
            first.abort();
          },
          put: assert.ifError,
          remove: assert.ifError,
        },
        { signal: first.signal },
      );
      return [...fresh.values()];
    },
  };
}

const EXAMPLES = Object.entries({ Apollo: followByApollo, 'graphql-sse': followBySse });

for (const [name, follow] of EXAMPLES)
  test(`the live list of the ${name} example equals a fresh one after a cut (#14)`, async t => {
    const { tenant, url } = await startGateway(t);
    const line = await openLine(t, url);
    const [ends = '', fails = '', deleted = '', ...stay] = tenant.addTasks(6, LASTING);
    const shown = await follow(t, line.url, url);
    const ids = () => new Set(shown.tasks().map(({ id }) => id));
    await until(() => ids().size === 6);

    line.cut();
    tenant.finish(ends);
    tenant.finish(fails, 'ERROR');
    tenant.remove(deleted);
    const added = tenant.addTasks(2, LASTING);
    // It begins and ends while the client is disconnected, and was never shown.
    tenant.finish(tenant.addTask(LASTING));
    line.restore();

    const expected = [...stay, ...added];
    await until(() => ids().size === expected.length && expected.every(id => ids().has(id)));
    assert.deepEqual(byId(shown.tasks()), byId((await shown.fresh()) as { id: string }[]));
    assert.deepEqual(
      shown.ended.map(task => task && `${task.id} ${task.completionStatus}`).toSorted(),
      [`${ends} SUCCESS`, `${fails} ERROR`, null].toSorted(),
    );

    // The list stays live.
    tenant.correct(added[1]!, { completedAt: Date.now() });
    await until(() =>
      shown.tasks().some(task => task.id === added[1] && task.effectivePercentComplete === 100),
    );
    tenant.finish(added[0]!, 'WARNING');
    await until(() => ids().size === expected.length - 1);
    assert.equal(shown.ended.at(-1)?.completionStatus, 'WARNING');
  });

for (const [name, follow] of EXAMPLES)
  test(`an unreadable task does not stop the live list of the ${name} example, before a cut or after (#14)`, async t => {
    const { sandbox, tenant, url } = await startGateway(t);
    const line = await openLine(t, url);
    const [unreadable = '', ends = '', stays = ''] = tenant.addTasks(3, LASTING);
    const shown = await follow(t, line.url, url);
    const ids = () => shown.tasks().map(({ id }) => id);
    await until(() => ids().length === 3);
    sandbox.faults.order({
      fault: { kind: 'row', mutation: 'created-unreadable', ids: [unreadable] },
    });
    const { length: sent } = sandbox.journal.requests;
    await until(() => sandbox.journal.requests.length > sent + 2);
    tenant.finish(ends);
    await until(() => !ids().includes(ends));
    // It was readable a moment ago, so it is still shown.
    assert.deepEqual(ids().toSorted(), [unreadable, stays].toSorted());

    line.cut();
    const added = tenant.addTask(LASTING);
    line.restore();
    await until(() => ids().includes(added));
    assert.deepEqual(ids().toSorted(), [stays, added].toSorted());
  });

function byId<T extends { id: string }>(tasks: T[]): T[] {
  return tasks.toSorted((one, other) => one.id.localeCompare(other.id));
}

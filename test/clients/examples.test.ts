import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gql } from '@apollo/client';
import { QueryClient } from '@tanstack/query-core';
import * as apollo from '../../examples/clients/apollo.ts';
import {
  TaskDocument,
  type TaskRowFragment,
  TasksDocument,
} from '../../examples/clients/generated/graphql.ts';
import * as sse from '../../examples/clients/graphql-sse.ts';
import * as tanstack from '../../examples/clients/tanstack.ts';
import * as urql from '../../examples/clients/urql.ts';
import '../support/global-web-socket.ts';
import { startGateway } from '../support/start.ts';
import { until } from '../support/until.ts';

const LASTING = { queueMs: 0, runMs: Infinity };
const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };

/** A gateway with five ended tasks, oldest first in `ended`, and a running one. */
async function start(t: Parameters<typeof startGateway>[0]) {
  const gateway = await startGateway(t);
  const { tenant } = gateway;
  const createdAt = Date.now() - 60_000;
  const ended = Array.from({ length: 5 }, (_, place) =>
    tenant.addTask({ ...ENDED, createdAt: createdAt + place }),
  );
  return { ...gateway, ended, running: tenant.addTask(LASTING) };
}

test('the Apollo example shows a task in the cache until it is COMPLETED (#14)', async t => {
  const { tenant, url, running } = await start(t);
  const client = apollo.createTaskClient({ url });
  t.after(() => client.stop());
  const states: unknown[] = [];
  const watching = client
    .watchQuery({ query: TaskDocument, variables: { id: running } })
    .subscribe(({ data }) => data?.taskStatus?.state && states.push(data.taskStatus.state));
  t.after(() => watching.unsubscribe());
  const following = apollo.followTask(client, running);
  await until(() => states.includes('RUNNING'));
  tenant.finish(running, 'WARNING');
  assert.equal((await following).completionStatus, 'WARNING');
  await until(() => states.at(-1) === 'COMPLETED');
  assert.equal((await apollo.readTask(client, running))?.state, 'COMPLETED');
  assert.equal(await apollo.readTask(client, 'unknown'), null);
});

test('the Apollo example pages by edges; `nodes` would keep the last page only (#14)', async t => {
  const { url, ended } = await start(t);
  const client = apollo.createTaskClient({ url });
  t.after(() => client.stop());
  const variables = { filter: { completionStatus: { isNull: false } }, first: 2 } as const;
  const list = client.watchQuery({ query: TasksDocument, variables });
  const edges = () => list.getCurrentResult().data!.taskStatuses!.edges!;
  const watching = list.subscribe({});
  t.after(() => watching.unsubscribe());
  await until(() => list.getCurrentResult().data !== undefined);
  for (let pages = 1; pages < 3; pages++) {
    const { pageInfo } = list.getCurrentResult().data!.taskStatuses!;
    const shown = edges().length;
    await list.fetchMore({ variables: { after: pageInfo!.endCursor! } });
    await until(() => edges().length > shown);
  }
  assert.deepEqual(
    edges().map(edge => edge.node!.id),
    ended.toReversed(),
  );

  const nodesOf = gql`
    query Nodes($filter: TaskStatusFilter, $first: Int!, $after: String) {
      taskStatuses(filter: $filter, first: $first, after: $after, orderBy: { direction: ASC }) {
        nodes {
          id
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  `;
  const trapped = client.watchQuery<any>({ query: nodesOf, variables });
  const trappedWatch = trapped.subscribe({});
  t.after(() => trappedWatch.unsubscribe());
  await until(() => trapped.getCurrentResult().data !== undefined);
  const { endCursor } = trapped.getCurrentResult().data.taskStatuses.pageInfo;
  const nodes = () =>
    trapped.getCurrentResult().data.taskStatuses.nodes.map(({ id }: { id: string }) => id);
  await trapped.fetchMore({ variables: { after: endCursor } });
  await until(() => nodes()[0] !== ended[0]);
  assert.deepEqual(nodes(), ended.slice(2, 4));
});

test('the cache of the Apollo example keeps a target apart from its source and from other tasks (#14)', async t => {
  const { tenant, url } = await start(t);
  const [one, other] = ['Workday HR', 'Workday HR, renamed'].map(name =>
    tenant.addTask({ ...LASTING, target: { id: 'source-1', type: 'APPLICATION', name } }),
  );
  const client = apollo.createTaskClient({ url });
  t.after(() => client.stop());
  const query = gql`
    query Targets($one: ID!, $other: ID!) {
      one: taskStatus(id: $one) {
        id
        target {
          id
          name
          source {
            id
          }
        }
      }
      other: taskStatus(id: $other) {
        id
        target {
          id
          name
        }
      }
    }
  `;
  const { data } = await client.query<any>({ query, variables: { one, other } });
  assert.deepEqual(
    [data.one.target.name, data.other.target.name],
    ['Workday HR', 'Workday HR, renamed'],
  );
  const stored = Object.keys(client.cache.extract() as object);
  assert.ok(stored.includes('Source:source-1'));
  assert.ok(!stored.some(key => key.startsWith('Target:')));
});

test('the urql example reads, pages and follows a task until it is COMPLETED (#14)', async t => {
  const { tenant, url, ended, running } = await start(t);
  const client = urql.createTaskClient(url);
  assert.equal((await urql.readTask(client, running))?.state, 'RUNNING');
  assert.equal(await urql.readTask(client, 'unknown'), null);
  const pages: string[][] = [];
  const filter = { completionStatus: { isNull: false } };
  for await (const page of urql.readPages(client, { filter, first: 2 }))
    pages.push(page.map(({ id }) => id));
  const [e1, e2, e3, e4, e5] = ended;
  assert.deepEqual(pages, [[e5, e4], [e3, e2], [e1]]);
  const states: string[] = [];
  const following = urql.followTask(client, running, ({ state }) => void states.push(state));
  await until(() => states.length > 0);
  tenant.finish(running);
  await following;
  assert.deepEqual(states, ['RUNNING', 'COMPLETED']);
  await assert.rejects(urql.followTask(client, 'unknown', assert.ifError), /no such task/);
});

test('the graphql-sse example follows a task until it is COMPLETED (#14)', async t => {
  const { tenant, url, running } = await start(t);
  const client = sse.createTaskClient(url);
  t.after(() => client.dispose());
  const states: string[] = [];
  for await (const { state } of sse.followTask(client, running)) {
    states.push(state);
    if (state === 'RUNNING') tenant.finish(running);
  }
  assert.deepEqual(states, ['RUNNING', 'COMPLETED']);
  assert.equal((await sse.readTask(client, running))?.completionStatus, 'SUCCESS');
  const unknown = sse.followTask(client, 'unknown').next();
  await assert.rejects(unknown, { name: 'ResultError', code: 'NOT_FOUND' });
});

const REFUSALS: [code: string, env: Record<string, string>][] = [
  // This version cannot filter by completion status.
  ['BAD_USER_INPUT', { UPSTREAM_API_VERSION: 'beta' }],
  // The example sends no token.
  ['UNAUTHENTICATED', { AUTH_MODE: 'passthrough', SAIL_CLIENT_ID: '', SAIL_CLIENT_SECRET: '' }],
];
for (const [code, env] of REFUSALS)
  test(`the live lists of the examples end with ${code}, and do not try again (#14)`, async t => {
    const { url } = await startGateway(t, { env });
    const client = sse.createTaskClient(url);
    t.after(() => client.dispose());
    const list = { ids: () => [], replace: () => {}, put: () => {}, remove: () => {} };
    const { signal } = new AbortController();
    await assert.rejects(sse.followRunningTasks(client, list, { signal }), { code });

    const apolloClient = apollo.createTaskClient({ url });
    t.after(() => apolloClient.stop());
    const error = await new Promise<any>(onError => {
      apollo.followRunningTasks(apolloClient, { onError });
    });
    assert.equal(error.errors[0].extensions.code, code);
  });

test('the TanStack Query example pages, and follows a task until it is COMPLETED (#14)', async t => {
  const { tenant, url, ended, running } = await start(t);
  const queries = new QueryClient();
  t.after(() => queries.clear());
  const { queryKey } = tanstack.taskQuery(url, running);
  const task = await queries.fetchQuery(tanstack.taskQuery(url, running));
  assert.equal(task?.state, 'RUNNING');
  const following = tanstack.followTask(queries, url, running);
  tenant.finish(running, 'ERROR');
  await following;
  const shownTask = queries.getQueryData<TaskRowFragment>(queryKey);
  assert.deepEqual([shownTask?.state, shownTask?.completionStatus], ['COMPLETED', 'ERROR']);
  await assert.rejects(tanstack.followTask(queries, url, 'unknown'), /no such task/);

  const list = tanstack.observeTasks(queries, url, { id: { in: ended } }, 2);
  t.after(list.subscribe(() => {}));
  await until(() => list.getCurrentResult().isSuccess);
  while (list.getCurrentResult().hasNextPage) await list.fetchNextPage();
  const shown = list.getCurrentResult().data!.pages.flatMap(({ edges }) => edges);
  assert.deepEqual(
    shown.map(({ node }) => node.id),
    ended.toReversed(),
  );
});

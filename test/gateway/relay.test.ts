import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fetchQuery, getSingularSelector } from 'relay-runtime';
import { compileRelay, createRelayEnvironment } from '../support/relay.ts';
import { startGateway } from '../support/start.ts';

const SCREEN = `
graphql\`
  query screenQuery($taskId: ID!) {
    taskStatus(id: $taskId) {
      ...screen_task
      target { id name source { id ...screen_tasks } }
    }
  }
\`;
graphql\`
  fragment screen_task on TaskStatus @refetchable(queryName: "screenTaskRefetchQuery") {
    id
    state
    completionStatus
  }
\`;
graphql\`
  fragment screen_tasks on Source
  @argumentDefinitions(count: { type: "Int", defaultValue: 2 }, cursor: { type: "String" })
  @refetchable(queryName: "screenTasksPaginationQuery") {
    id
    taskCounts { total running }
    tasks(first: $count, after: $cursor, orderBy: { direction: ASC }) @connection(key: "screen_tasks_tasks") {
      edges { node { id } }
    }
  }
\`;
`;

test('Relay compiles the schema, refetches a task by its nodeId and pages the tasks of a source', async t => {
  const { tenant, url } = await startGateway(t);
  const target = { id: 'source-1', type: 'APPLICATION', name: 'Workday HR [source]' };
  const ids = Array.from({ length: 5 }, (_, place) =>
    tenant.addTask({ queueMs: 0, runMs: Infinity, target, createdAt: Date.now() - 60_000 + place }),
  );
  const artifacts = await compileRelay(t, SCREEN);
  const environment = createRelayEnvironment(url);
  const fetch = (query: string, variables: object) =>
    fetchQuery(environment, artifacts.request(query), variables).toPromise() as Promise<any>;
  // Their shape is that of the artifacts, which are compiled while the test runs.
  const readFragment = (name: string, reference: unknown): Record<string, any> => {
    const selector = getSingularSelector(artifacts.fragment(name), reference);
    assert.ok(selector);
    return environment.lookup(selector).data ?? assert.fail(name);
  };

  const screen = await fetch('screenQuery', { taskId: ids[0] });
  const { source, ...shown } = screen.taskStatus.target;
  assert.deepEqual(shown, { id: 'source-1', name: 'Workday HR [source]' });
  assert.equal(readFragment('screen_task', screen.taskStatus).state, 'RUNNING');
  // Had Relay merged the target with its source, which has the same id, the name would be the
  // source's.
  const records = Object.values(environment.getStore().getSource().toJSON());
  const named = (type: string) => records.filter(record => record?.['__typename'] === type);
  assert.deepEqual([named('Source').length, named('Target').length], [1, 1]);

  // Refetched by `node(nodeId:)`, the fragment that was read by another field has the new state.
  tenant.finish(ids[0] ?? '');
  const task = environment.getStore().getSource().get(recordId(screen.taskStatus));
  assert.ok(task);
  await fetch('screenTaskRefetchQuery', { nodeId: task['nodeId'] });
  assert.deepEqual(readFragment('screen_task', screen.taskStatus), {
    id: ids[0],
    state: 'COMPLETED',
    completionStatus: 'SUCCESS',
    nodeId: task['nodeId'],
  });

  const pages: unknown[] = [];
  for (;;) {
    const { id, nodeId, taskCounts, tasks } = readFragment('screen_tasks', source);
    pages.push(tasks.edges.map(({ node }: any) => ids.indexOf(node.id)));
    assert.deepEqual(
      [id, taskCounts],
      ['source-1', { total: 5, running: pages.length === 1 ? 5 : 4 }],
    );
    if (!tasks.pageInfo.hasNextPage) break;
    await fetch('screenTasksPaginationQuery', {
      nodeId,
      count: 2,
      cursor: tasks.pageInfo.endCursor,
    });
  }
  assert.deepEqual(pages, [
    [0, 1],
    [0, 1, 2, 3],
    [0, 1, 2, 3, 4],
  ]);
});

function recordId(reference: object): string {
  return (reference as { __id: string }).__id;
}

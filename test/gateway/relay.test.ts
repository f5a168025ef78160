import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import {
  type ConcreteRequest,
  Environment,
  Network,
  type ReaderFragment,
  RecordSource,
  Store,
  fetchQuery,
  getSingularSelector,
} from 'relay-runtime';
import { postGraphQL, startGateway } from '../support/start.ts';

const SCHEMA = new URL('../../schema.graphql', import.meta.url);

const DOCUMENTATION = new URL('../../docs/relay.md', import.meta.url);

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

/** Compiles `SCREEN` against schema.graphql with the settings of docs/relay.md. Returns its artifacts by name. */
async function compile(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'relay-'));
  t.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, 'src'));
  await copyFile(SCHEMA, join(folder, 'schema.graphql'));
  await writeFile(join(folder, 'src/screen.js'), SCREEN);
  const documented = /```json\n(.*?)```/s.exec(readFileSync(DOCUMENTATION, 'utf8'))?.[1] ?? '';
  // JavaScript, which can be loaded from outside of the project.
  const config = { ...JSON.parse(documented), language: 'javascript', eagerEsModules: false };
  await writeFile(join(folder, 'relay.json'), JSON.stringify(config));
  const compiler = createRequire(import.meta.url)('relay-compiler') as string;
  await promisify(execFile)(compiler, ['relay.json'], { cwd: folder });
  const artifacts = createRequire(join(folder, 'src/__generated__/'));
  return {
    request: (name: string) => artifacts(`./${name}.graphql.js`) as ConcreteRequest,
    fragment: (name: string) => artifacts(`./${name}.graphql.js`) as ReaderFragment,
  };
}

function createEnvironment(url: string): Environment {
  return new Environment({
    network: Network.create(
      async ({ text }, variables) => (await postGraphQL(url, text ?? '', variables)) as never,
    ),
    store: new Store(new RecordSource()),
    getDataID: ({ nodeId }) => nodeId,
  });
}

test('Relay compiles the schema, refetches a task by its nodeId and pages the tasks of a source', async t => {
  const { tenant, url } = await startGateway(t);
  const target = { id: 'source-1', type: 'APPLICATION', name: 'Workday HR [source]' };
  const ids = Array.from({ length: 5 }, (_, place) =>
    tenant.addTask({ queueMs: 0, runMs: Infinity, target, createdAt: Date.now() - 60_000 + place }),
  );
  const artifacts = await compile(t);
  const environment = createEnvironment(url);
  const fetch = (query: string, variables: object) =>
    fetchQuery(environment, artifacts.request(query), variables).toPromise() as Promise<any>;
  const readFragment = (name: string, reference: unknown) => {
    const selector = getSingularSelector(artifacts.fragment(name), reference);
    assert.ok(selector);
    return environment.lookup(selector).data as any;
  };

  const screen = await fetch('screenQuery', { taskId: ids[0] });
  const { source, ...shown } = screen.taskStatus.target;
  assert.deepEqual(shown, { id: 'source-1', name: 'Workday HR [source]' });
  assert.equal(readFragment('screen_task', screen.taskStatus).state, 'RUNNING');
  // Had Relay merged the target with its source, which has the same id, the name would be the source's.
  const records = Object.values(environment.getStore().getSource().toJSON()) as any[];
  const named = (type: string) => records.filter(({ __typename }) => __typename === type);
  assert.deepEqual([named('Source').length, named('Target').length], [1, 1]);

  // Refetched by `node(nodeId:)`, the fragment that was read by another field has the new state.
  tenant.finish(ids[0] ?? '');
  const task = environment.getStore().getSource().get(recordId(screen.taskStatus))! as any;
  await fetch('screenTaskRefetchQuery', { nodeId: task.nodeId });
  assert.deepEqual(readFragment('screen_task', screen.taskStatus), {
    id: ids[0],
    state: 'COMPLETED',
    completionStatus: 'SUCCESS',
    nodeId: task.nodeId,
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

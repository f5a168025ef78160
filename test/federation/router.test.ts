import assert from 'node:assert/strict';
import { test } from 'node:test';
import { postGraphQL, startGateway } from '../support/start.ts';
import { collect, subscribe } from '../support/subscribe.ts';
import { startSupergraph } from '../support/supergraph.ts';

const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };
const LASTING = { queueMs: 0, runMs: 86_400_000 };
const THERE_AND_BACK = `{
  sources {
    name
    latestTask { id }
    tasks(first: 2) { nodes { id target { source { name } } } }
  }
}`;
const PROGRESS = `subscription ($id: ID!) {
  taskProgress(id: $id) { id state completionStatus target { source { name } } }
}`;

test('a federated query goes from sources to their tasks, and back to the sources', async t => {
  const { tasks, url } = await startSupergraph(t);
  const { tenant, requests } = tasks;
  const sources = tenant.sources;
  const ids = new Map(
    sources.map(target => [
      target,
      [tenant.addTask({ ...ENDED, target }), tenant.addTask({ ...ENDED, target })],
    ]),
  );
  const before = requests().length;
  const { data, errors } = await postGraphQL(url, THERE_AND_BACK);
  assert.equal(errors, undefined);
  assert.deepEqual(
    data.sources.map(({ name, tasks: { nodes } }: any) => [
      name,
      nodes.map((node: any) => node.id).toSorted(),
      nodes.map((node: any) => node.target.source.name),
    ]),
    sources.map(source => [
      `owned ${source.name}`,
      ids.get(source)!.toSorted(),
      [`owned ${source.name}`, `owned ${source.name}`],
    ]),
  );
  assert.equal(requests().length - before, 1, requests().slice(before).join('\n'));
});

for (const subscriptions of ['sse', 'ws', 'http-callback'] as const)
  test(`a federated subscription continues to the last event, with ${subscriptions} to the subgraph`, async t => {
    const { tasks, url } = await startSupergraph(t, {
      subscriptions,
      gateway: { env: { SUBSCRIPTION_CALLBACK_HOSTS: '127.0.0.1' } },
    });
    const { tenant } = tasks;
    const [source] = tenant.sources;
    const id = tenant.addTask({ ...LASTING, target: source });
    const stream = subscribe(t, 'sse', url, PROGRESS, { id });
    const first = await stream.next();
    assert.deepEqual(first.value.data?.taskProgress, {
      id,
      state: 'RUNNING',
      completionStatus: null,
      target: { source: { name: `owned ${source.name}` } },
    });
    tenant.finish(id, 'WARNING');
    const rest = await collect(stream);
    assert.deepEqual(
      rest.map(({ data }) => [data.taskProgress.state, data.taskProgress.completionStatus]),
      [['COMPLETED', 'WARNING']],
    );
  });

test('a router that subscribes over SSE with GET is served', async t => {
  const { tenant, url } = await startGateway(t);
  const id = tenant.addTask(ENDED);
  const query = new URLSearchParams({
    query: 'subscription ($id: ID!) { taskProgress(id: $id) { state } }',
    variables: JSON.stringify({ id }),
  });
  const response = await fetch(`${url}?${query}`, { headers: { accept: 'text/event-stream' } });
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  const text = await response.text();
  assert.match(text, /^event: next\ndata: .*"state":"COMPLETED".*\n\nevent: complete\n/m);
});

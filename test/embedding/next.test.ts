// First, because libraries look for Next.js when they are loaded.
import '../support/as-next.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from '../../src/config.ts';
import { createGateway } from '../../src/gateway.ts';
import { environmentOver, startSandbox } from '../support/start.ts';

const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id state } }';

test('the route handler of Next.js answers queries and streams subscriptions', async t => {
  const sandbox = await startSandbox(t, { rateLimit: Infinity });
  const [id = ''] = sandbox.tenant.addTasks(1, { queueMs: 0, runMs: 86_400_000 });
  const before = { ...process.env };
  Object.assign(process.env, environmentOver(sandbox), { SHUTDOWN_GRACE_MS: '200' });
  t.after(() => (process.env = before));
  const { POST } = await import('../../examples/embedded/next/app/graphql/route.ts');
  const shared = globalThis as { gateway?: Promise<{ close(): Promise<void> }> };
  t.after(async () => (await shared.gateway)?.close());
  const ask = (query: string, accept: string) =>
    POST(
      new Request('http://localhost:3000/graphql', {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept },
        body: JSON.stringify({ query, variables: { id } }),
      }),
    );
  const answer = await ask(`{ taskStatus(id: "${id}") { id } }`, 'application/json');
  assert.deepEqual(await answer.json(), { data: { taskStatus: { id } } });
  const stream = await ask(PROGRESS, 'text/event-stream');
  sandbox.tenant.finish(id);
  assert.match(await stream.text(), /"state":"COMPLETED".*event: complete/s);
});

test('in Next.js, clients of both modes of SSE may disconnect', async t => {
  const sandbox = await startSandbox(t, { rateLimit: Infinity });
  const gateway = await createGateway({
    ...readConfig(environmentOver(sandbox)),
    shutdown: { delayMs: 0, graceMs: 200 },
  });
  t.after(() => gateway.close());
  const url = 'http://localhost/graphql';
  const distinct = await gateway.fetch(
    new Request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
      body: '{"query":"subscription { taskStatusChanged(snapshot: true) { kind } }"}',
    }),
  );
  const reserved = await gateway.fetch(new Request(`${url}/stream`, { method: 'PUT' }));
  const token = await reserved.text();
  const single = await gateway.fetch(
    new Request(`${url}/stream?token=${token}`, { headers: { accept: 'text/event-stream' } }),
  );
  for (const { status, body } of [distinct, single]) {
    assert.equal(status, 200);
    const reader = body?.getReader();
    await reader?.read();
    // An error after this would end the process.
    await reader?.cancel();
  }
  const open = () => gateway.fetch(new Request('http://localhost/metrics')).then(r => r.text());
  while (!/_streams\{transport="sse"\} 0/.test(await open()));
});

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { createClient as createSseClient } from 'graphql-sse';
import { createClient as createWsClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { firstLine } from '../support/process.ts';
import { PROJECT } from '../support/program-copy.ts';
import { environmentOver, postGraphQL, startSandbox } from '../support/start.ts';

const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id state } }';
const EXAMPLES = [
  ['express.ts', '/graphql'],
  ['fastify.ts', '/api/graphql'],
] as const;

for (const [file, path] of EXAMPLES)
  test(`${file} serves queries, WebSockets and both modes of SSE beside its own route, and leaves on SIGTERM`, async t => {
    const sandbox = await startSandbox(t, { rateLimit: Infinity });
    const { origin, child } = await startExample(t, file, sandbox);
    const url = origin + path;
    assert.equal(await (await fetch(`${origin}/hello`)).text(), 'Hello');
    const [id = ''] = sandbox.tenant.addTasks(1, { queueMs: 0, runMs: 86_400_000 });
    const { data } = await postGraphQL(url, `{ taskStatus(id: "${id}") { id } }`);
    assert.deepEqual(data, { taskStatus: { id } });

    const ws = createWsClient({ url: url.replace('http', 'ws'), webSocketImpl: WebSocket });
    const clients = [
      ws,
      createSseClient({ url }),
      createSseClient({ url: `${url}/stream`, singleConnection: true }),
    ];
    t.after(() => clients.forEach(client => client.dispose()));
    const followed = clients.map(client =>
      client.iterate<{ taskProgress: { state: string } }>({
        query: PROGRESS,
        variables: { id },
      }),
    );
    for (const events of followed)
      assert.equal((await events.next()).value?.data?.taskProgress.state, 'RUNNING');
    sandbox.tenant.finish(id);
    for (const events of followed)
      assert.equal((await events.next()).value?.data?.taskProgress.state, 'COMPLETED');

    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    assert.deepEqual(await exited, [0, null]);
  });

async function startExample(
  t: TestContext,
  file: string,
  sandbox: Sandbox,
): Promise<{ origin: string; child: ChildProcess }> {
  const { PATH = '' } = process.env;
  const child = spawn(process.execPath, ['--import', 'tsx', `examples/embedded/${file}`], {
    cwd: PROJECT,
    env: { PATH, ...environmentOver(sandbox), PROGRESS_INTERVAL_MS: '100' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [, origin = assert.fail()] = /^Listening at (\S+)$/.exec(await firstLine(child)) ?? [];
  return { origin, child };
}

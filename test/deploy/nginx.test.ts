import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient as createSseClient } from 'graphql-sse';
import { createClient as createWsClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { startGatewayProcess } from '../support/gateway-process.ts';
import { WITHOUT_NGINX, startNginx } from '../support/nginx.ts';
import { WITHOUT_REDIS, redisUrlFor } from '../support/redis.ts';
import { postGraphQL, startSandbox } from '../support/start.ts';
import { until } from '../support/until.ts';

const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id state } }';
const TASKS = 20;
const SUBSCRIBERS = 60;

test(
  'behind nginx, an instance is stopped under load: no request fails, and every subscriber gets the end of its task',
  { skip: WITHOUT_REDIS || WITHOUT_NGINX },
  async t => {
    const sandbox = await startSandbox(t, { rateLimit: Infinity });
    const ids = sandbox.tenant.addTasks(TASKS, { queueMs: 0, runMs: 86_400_000 });
    const env = {
      REDIS_URL: await redisUrlFor(t),
      UPSTREAM_RATE_LIMIT: '100000',
      PROGRESS_INTERVAL_MS: '100',
    };
    const instances = await Promise.all([1, 2].map(() => startGatewayProcess(t, sandbox, env)));
    const origin = await startNginx(
      t,
      instances.map(({ url }) => url),
    );
    const url = `${origin}/graphql`;
    const retry = {
      retryAttempts: 100,
      shouldRetry: () => true,
      // Spread, as the clients' own waiting is.
      retryWait: (attempt: number) =>
        new Promise<void>(resolve => setTimeout(resolve, 20 * attempt)),
    };
    const sse = createSseClient({ url, ...retry });
    const states = Array.from({ length: SUBSCRIBERS }, () => [] as string[]);
    const completed = states.map(
      (seen, place) =>
        new Promise<void>((resolve, reject) => {
          const client =
            place % 2 === 0
              ? sse
              : createWsClient({
                  url: url.replace('http', 'ws'),
                  webSocketImpl: WebSocket,
                  ...retry,
                });
          t.after(() => client.dispose());
          client.subscribe<{ taskProgress: { state: string } }>(
            { query: PROGRESS, variables: { id: ids[place % TASKS]! } },
            {
              next: ({ data }) => void (data && seen.push(data.taskProgress.state)),
              error: reject,
              complete: resolve,
            },
          );
        }),
    );
    await until(() => states.every(seen => seen.length > 0));

    let isLeaving = true;
    const exit = instances[0]!.terminate().finally(() => (isLeaving = false));
    let answered = 0;
    const failures: unknown[] = [];
    const query = async () => {
      while (isLeaving) {
        const id = ids[answered % TASKS]!;
        const { data, errors } = await postGraphQL(url, `{ taskStatus(id: "${id}") { id } }`);
        if (data?.taskStatus?.id === id) answered++;
        else failures.push(errors);
      }
    };
    await Promise.all([query(), query(), query()]);

    assert.equal(await exit, 0);
    assert.deepEqual(failures, []);
    assert.ok(answered > 0);
    for (const id of ids) sandbox.tenant.finish(id);
    await Promise.all(completed);
    assert.ok(states.every(seen => seen.at(-1) === 'COMPLETED'));
  },
);

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPage } from '../support/browser.ts';
import { startGateway } from '../support/start.ts';

const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };
const LASTING = { queueMs: 0, runMs: 3_600_000 };
const COMPLETE = 'event: complete\nid: complete\ndata:\n\n';

/** The target that an EventSource opens to subscribe to a task. */
function progressOf(url: string, id: string): string {
  const target = new URL(url);
  target.searchParams.set('query', `subscription { taskProgress(id: "${id}") { state } }`);
  return target.href;
}

async function read(target: string, headers: Record<string, string> = {}) {
  const response = await fetch(target, { headers: { accept: 'text/event-stream', ...headers } });
  return { status: response.status, text: await response.text() };
}

test('a stream that completes ends with an id, and is not opened again with it', async t => {
  const { tenant, url, requests } = await startGateway(t);
  const target = progressOf(url, tenant.addTask(ENDED));
  const { text } = await read(target);
  assert.match(text, /"state":"COMPLETED"/);
  assert.ok(text.endsWith(COMPLETE), text);
  assert.equal(text.match(/^id:/gm)?.length, 1, 'nothing else has an id');

  const before = requests().length;
  assert.deepEqual(await read(target, { 'last-event-id': 'complete' }), { status: 204, text: '' });
  assert.equal(requests().length, before);
  const other = await read(target, { 'last-event-id': '7' });
  assert.ok(other.text.endsWith(COMPLETE), 'an id that is not ours means nothing');
  const json = await read(target.replace(/subscription.*/, '%7B__typename%7D'), {
    accept: 'application/json',
    'last-event-id': 'complete',
  });
  assert.equal(json.status, 200, 'only streams have ends');
});

test('a stream that ends with a final error has an id, and one that may succeed later has none', async t => {
  const { sandbox, tenant, url } = await startGateway(t);
  const unknown = await read(progressOf(url, 'unknown'));
  assert.match(unknown.text, /NOT_FOUND/);
  assert.ok(unknown.text.endsWith(COMPLETE), unknown.text);
  const refused = await read(`${url}?query=%7Bnope%7D`);
  assert.ok(refused.text.endsWith(COMPLETE), refused.text);

  sandbox.faults.order({ fault: { kind: 'status', status: 503 }, times: 20 });
  const failed = await read(progressOf(url, tenant.addTask(ENDED)));
  assert.match(failed.text, /UPSTREAM_UNAVAILABLE/);
  assert.ok(failed.text.endsWith('event: complete\ndata:\n\n'), failed.text);
});

test('a single result with an error that may pass has no id', async t => {
  const { sandbox, tenant, url } = await startGateway(t, {
    env: { MAX_SUBSCRIPTIONS_PER_CREDENTIAL: '1' },
  });
  sandbox.faults.order({ fault: { kind: 'status', status: 503 }, times: 20 });
  const failed = await read(`${url}?query=%7BtaskStatuses%7Bnodes%7Bid%7D%7D%7D`);
  assert.match(failed.text, /UPSTREAM_UNAVAILABLE/);
  assert.ok(failed.text.endsWith('event: complete\ndata:\n\n'), failed.text);

  sandbox.faults.clear();
  const id = tenant.addTask(LASTING);
  const subscribe = () =>
    fetch(url, {
      method: 'POST',
      headers: { accept: 'text/event-stream', 'content-type': 'application/json' },
      body: JSON.stringify({
        query: 'subscription ($id: ID!) { taskProgress(id: $id) { state } }',
        variables: { id },
      }),
    });
  const first = await subscribe();
  const text = await (await subscribe()).text();
  await first.body?.cancel();
  assert.match(text, /RATE_LIMITED/);
  assert.ok(text.endsWith('event: complete\ndata:\n\n'), text);
});

test('in Chromium, an EventSource follows a task to its end and opens once', async t => {
  const { tenant, url } = await startGateway(t);
  const page = await openPage(t);
  // A page of the gateway's own origin.
  await page.goto(url);
  for (const isOver of [true, false]) {
    const id = tenant.addTask(isOver ? ENDED : LASTING);
    const followed = page.evaluate(
      target =>
        new Promise<{ opened: number; states: string[] }>(resolve => {
          const states: string[] = [];
          let opened = 0;
          const source = new EventSource(target);
          source.addEventListener('next', ({ data }) => {
            states.push(JSON.parse(data).data.taskProgress.state);
            document.title = states.join(' ');
          });
          source.addEventListener('open', () => {
            if (++opened > 1) resolve({ opened, states });
          });
          source.addEventListener('error', () => {
            if (source.readyState === EventSource.CLOSED) resolve({ opened, states });
          });
        }),
      progressOf(url, id),
    );
    if (!isOver) {
      await page.waitForFunction(() => document.title === 'RUNNING');
      tenant.finish(id);
    }
    const states = isOver ? ['COMPLETED'] : ['RUNNING', 'COMPLETED'];
    assert.deepEqual(await followed, { opened: 1, states });
  }
});

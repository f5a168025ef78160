import { request } from 'node:http';
import { WebSocket } from 'ws';
import { forkGateway } from './gateway.ts';
import { startTenant } from './tenant.ts';

// A hundred thousand subscribers connect and leave in every possible way, to see that nothing
// leaks.
const TASKS = 200;
const QUERY = 'subscription ($id: ID!) { taskProgress(id: $id) { id state } }';
const AT_ONCE = 50;
const PER_STREAM = 5;

const { sandbox, ids } = await startTenant(TASKS, { rateLimit: Infinity });
const gateway = await forkGateway(sandbox, { UPSTREAM_RATE_LIMIT: '1000000' });
const url = gateway.url.replace('http', 'ws');
let cycles = 0;

// One cycle first, so that code that is loaded once does not count as a leak.
await all(2_000);
const rows = [await sample('at the start')];
for (let part = 1; part <= 5; part++) {
  await all(20_000);
  rows.push(await sample(`after ${part * 20},000`));
}
await quiet();
rows.push(await sample('and a while later'));
console.table(rows);
await gateway.close();
await sandbox.close();

/**
 * Runs so many cycles. Three eighths unsubscribe. One eighth each disconnects from SSE, from
 * multipart, and from a stream of many operations, resets its socket, and leaves before its first
 * event.
 */
async function all(count: number): Promise<void> {
  const eighth = count / 8;
  await Promise.all([
    repeat((3 * eighth) / AT_ONCE, unsubscribeRepeatedly),
    repeat(eighth, () => hangUp('text/event-stream')),
    repeat(eighth, () => hangUp('multipart/mixed;subscriptionSpec=1.0')),
    repeat(eighth / PER_STREAM, abandonStream),
    repeat(eighth, () => killSocket(true)),
    repeat(eighth, () => killSocket(false)),
  ]);
}

async function repeat(count: number, cycle: () => Promise<void>): Promise<void> {
  let left = count;
  const work = async () => {
    while (left-- > 0) await cycle();
  };
  await Promise.all(Array.from({ length: AT_ONCE / 4 }, work));
}

async function sample(when: string) {
  const { heapMb, rssMb, resources } = await gateway.usage();
  return {
    when,
    'heap MB': Math.round(heapMb),
    'RSS MB': Math.round(rssMb),
    'timers and sockets': resources,
  };
}

/** Waits until upstream gets no more requests, because no task is watched. */
async function quiet(): Promise<void> {
  for (let before = -1; before !== sandbox.journal.requests.length;) {
    before = sandbox.journal.requests.length;
    await new Promise(resolve => setTimeout(resolve, 7_000));
  }
}

function next(): string {
  return JSON.stringify({ query: QUERY, variables: { id: ids[cycles++ % TASKS] } });
}

async function open(): Promise<WebSocket> {
  const socket = new WebSocket(url, 'graphql-transport-ws');
  await new Promise(resolve => socket.once('open', resolve));
  socket.send('{"type":"connection_init"}');
  await new Promise(resolve => socket.once('message', resolve));
  return socket;
}

async function unsubscribeRepeatedly(): Promise<void> {
  const socket = await open();
  for (let id = 0; id < AT_ONCE; id++) {
    socket.send(`{"id":"${id}","type":"subscribe","payload":${next()}}`);
    await new Promise(resolve => socket.once('message', resolve));
    socket.send(`{"id":"${id}","type":"complete"}`);
  }
  socket.close();
}

async function killSocket(hasEvent: boolean): Promise<void> {
  const socket = await open();
  socket.send(`{"id":"1","type":"subscribe","payload":${next()}}`);
  if (hasEvent) await new Promise(resolve => socket.once('message', resolve));
  socket.terminate();
}

async function hangUp(accept: string): Promise<void> {
  const stream = request(gateway.url, {
    method: 'POST',
    agent: false,
    headers: { accept, 'content-type': 'application/json' },
  });
  stream.on('error', () => {});
  stream.end(next());
  const response = await new Promise<NodeJS.ReadableStream>(resolve =>
    stream.once('response', resolve),
  );
  await new Promise(resolve => response.once('data', resolve));
  stream.destroy();
}

/**
 * The single connection mode of SSE: several operations in one stream, whose client does not read.
 */
async function abandonStream(): Promise<void> {
  const at = `${gateway.url}/stream`;
  const token = await (await fetch(at, { method: 'PUT' })).text();
  const controller = new AbortController();
  const stream = await fetch(`${at}?token=${token}`, { signal: controller.signal });
  for (let id = 0; id < PER_STREAM; id++) {
    const operation = { ...JSON.parse(next()), extensions: { operationId: String(id) } };
    await fetch(at, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-graphql-event-stream-token': token },
      body: JSON.stringify(operation),
    });
  }
  await stream.body?.getReader().read();
  controller.abort();
}

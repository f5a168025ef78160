import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { ExecutionResult } from 'graphql';
import { WebSocket } from 'ws';
import { GatewayError } from '../../src/errors.ts';
import { createMaskError } from '../../src/http/access/mask-error.ts';
import type { DirectResults } from '../../src/http/plugins/direct-results.ts';
import { DirectReader } from '../../src/http/transports/direct-reader.ts';
import { Mailbox } from '../../src/progress/mailbox.ts';
import { createCapturedLog } from '../support/captured-log.ts';
import { sendJson, startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { SPECIFIED_ROW } from '../support/row.ts';
import { startGateway } from '../support/start.ts';
import { TRANSPORTS, collect, subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

// Events reach WebSockets and streams without the promises of Yoga and graphql-ws, as bytes that
// subscribers share.
const LASTING = { queueMs: 0, runMs: 86_400_000 };
const STATUS = 'subscription ($id: ID!) { taskProgress(id: $id) { id completionStatus } }';

interface Next {
  id: string;
  type: string;
  payload?: ExecutionResult;
}

async function openSocket(t: TestContext, url: string) {
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
  t.after(() => socket.terminate());
  const messages: Next[] = [];
  await once(socket, 'open');
  socket.send('{"type":"connection_init"}');
  await once(socket, 'message');
  socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString()) as Next));
  const start = (id: string, query: string, variables: object) =>
    socket.send(JSON.stringify({ id, type: 'subscribe', payload: { query, variables } }));
  return { socket, messages, start };
}

test('ws: a message of any length, for an id of any characters, arrives whole and in order', async t => {
  const { tenant, url } = await startGateway(t);
  const [task = ''] = tenant.addTasks(1, LASTING);
  const { messages, start } = await openSocket(t, url);
  // Around 125, 16,384 and 65,535 bytes the frame, or who writes it, is another.
  const ids = [
    ...Array.from({ length: 40 }, (_, length) => `${length}`.padEnd(length + 1, '-')),
    'é ü — 任务',
    '"quoted\\ and \u0001 escaped"',
    ...[16_200, 16_300, 16_384, 16_400, 65_400, 65_536, 70_000].map(length => 'x'.repeat(length)),
  ];
  for (const id of ids) start(id, STATUS, { id: task });
  await until(() => messages.length >= ids.length);
  tenant.finish(task);
  await until(() => messages.length >= 3 * ids.length);

  for (const id of ids)
    assert.deepEqual(
      messages.filter(message => message.id === id),
      [
        {
          id,
          type: 'next',
          payload: { data: { taskProgress: { id: task, completionStatus: null } } },
        },
        {
          id,
          type: 'next',
          payload: { data: { taskProgress: { id: task, completionStatus: 'SUCCESS' } } },
        },
        { id, type: 'complete' },
      ],
    );
});

for (const transport of TRANSPORTS)
  test(`${transport}: events with characters outside ASCII, and long ones, are the same as a query's answer`, async t => {
    const upstream = await startHostileUpstream(t);
    const { url, query } = await startGatewayOver(t, upstream.url);
    const row = { ...SPECIFIED_ROW, uniqueName: 'Überprüfung 任务 🛰', completed: null };
    upstream.respond = response => sendJson(response, 200, [{ ...row, completionStatus: null }]);
    const { id } = row;
    const aliases = Array.from({ length: 400 }, (_, place) => `a${place}: uniqueName`).join(' ');
    for (const fields of ['uniqueName', `id ${aliases}`]) {
      const { data } = await query(`query ($id: ID!) { taskStatus(id: $id) { ${fields} } }`, {
        id,
      });
      const stream = subscribe(
        t,
        transport,
        url,
        `subscription ($id: ID!) { taskProgress(id: $id) { ${fields} } }`,
        { id },
      );
      const { value } = await stream.next();
      assert.deepEqual(value, { data: { taskProgress: data?.['taskStatus'] } });
      assert.match(JSON.stringify(value), /Überprüfung 任务 🛰/);
      await stream.return?.();
    }
  });

for (const transport of TRANSPORTS)
  test(`${transport}: subscribers of one task with different selections each get their own`, async t => {
    const { tenant, url } = await startGateway(t);
    const [id = ''] = tenant.addTasks(1, LASTING);
    const selections = ['id', 'state', 'id state', 'renamed: id', 'id'];
    const received = selections.map(fields =>
      collect(
        subscribe(
          t,
          transport,
          url,
          `subscription ($id: ID!) { taskProgress(id: $id) { ${fields} } }`,
          { id },
        ),
      ),
    );
    tenant.finish(id);
    const completed = { id, state: 'COMPLETED', renamed: id };
    for (const [place, events] of (await Promise.all(received)).entries()) {
      const names = selections[place]!.split(' ').map(name => name.replace(/:$/, ''));
      const members = names.includes('renamed') ? ['renamed'] : names;
      assert.deepEqual(events.at(-1), {
        data: {
          taskProgress: Object.fromEntries(
            members.map(name => [name, completed[name as keyof typeof completed]]),
          ),
        },
      });
    }
  });

for (const [accept, opening] of [
  ['text/event-stream', ':\n\nevent: next'],
  [
    'multipart/mixed;subscriptionSpec=1.0',
    '\r\n--graphql\r\ncontent-type: application/json\r\n\r\n{}\r\n--graphql\r\ncontent-type: application/json\r\n\r\n{"payload"',
  ],
] as const)
  for (const [state, duration] of [
    ['has ended', { queueMs: 0, runMs: 0 }],
    ['is running', LASTING],
  ] as const)
    test(`${accept}: what is already known of a task that ${state} is sent at once, not with the next heartbeat`, async t => {
      const { tenant, url } = await startGateway(t, { env: { MAX_STALENESS_MS: '60000' } });
      const id = tenant.addTask(duration);
      for (let count = 0; count < 3; count++) {
        const leaving = new AbortController();
        t.after(() => leaving.abort());
        const { body } = await fetch(url, {
          method: 'POST',
          headers: { 'content-type': 'application/json', accept },
          body: JSON.stringify({ query: STATUS, variables: { id } }),
          signal: leaving.signal,
        });
        let text = '';
        for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
          text += chunk;
          if (text.includes(id)) break;
        }
        assert.equal(text.slice(0, opening.length), opening);
      }
    });

test('sse: a client of HTTP/1.0, which has no chunks, gets the bytes of each event and the end', async t => {
  const { tenant, url } = await startGateway(t);
  const [id = ''] = tenant.addTasks(1, LASTING);
  const body = JSON.stringify({ query: STATUS, variables: { id } });
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  t.after(() => socket.destroy());
  let text = '';
  socket.on('data', (data: Buffer) => (text += data));
  const closed = once(socket, 'close');
  socket.write(
    `POST /graphql HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await until(() => text.includes('"completionStatus":null'));
  tenant.finish(id);
  await closed;
  const [, ...parts] = text.split('\r\n\r\n');
  const eventOf = (status: string | null) =>
    `event: next\ndata: ${JSON.stringify({ data: { taskProgress: { id, completionStatus: status } } })}\n\n`;
  assert.equal(
    parts.join('\r\n\r\n'),
    `:\n\n${eventOf(null)}${eventOf('SUCCESS')}event: complete\nid: complete\ndata:\n\n`,
  );
});

test('metrics: each event that is sent counts, whoever reads the metrics and when', async t => {
  const { tenant, url } = await startGateway(t);
  const ids = tenant.addTasks(3, LASTING);
  const streams = ids.map(id => subscribe(t, 'ws', url, STATUS, { id }));
  await Promise.all(streams.map(stream => stream.next()));
  const count = async () => {
    const text = await (await fetch(new URL('/metrics', url))).text();
    return Number(/events_total\{transport="websocket"\} (\d+)/.exec(text)?.[1]);
  };
  assert.equal(await count(), 3);
  assert.equal(await count(), 3);
  for (const id of ids) tenant.finish(id);
  await Promise.all(streams.map(stream => stream.next()));
  assert.equal(await count(), 6);
});

/**
 * A reader over a mailbox, and what it wrote. Values that start with `later` are results that take
 * time.
 */
function setUp() {
  const mailbox = new Mailbox<string>(() => {});
  const log = createCapturedLog();
  const maskError = createMaskError(log, { hidesSuggestions: false });
  const sink = { isReady: true, written: [] as ExecutionResult[], ends: 0 };
  const settle: ((result: ExecutionResult | Error) => void)[] = [];
  const results: DirectResults = {
    next: () => mailbox.next(),
    return: () => mailbox.return(),
    whenAvailable: run => mailbox.whenAvailable(run),
    take() {
      const next = mailbox.take();
      if (next === null || next.done) return next;
      if (next.value instanceof GatewayError) throw next.value;
      const { value } = next;
      if (!value.startsWith('later')) return { done: false, value: { data: { value } } };
      const later = new Promise<ExecutionResult>((resolve, reject) =>
        settle.push(result => (result instanceof Error ? reject(result) : resolve(result))),
      );
      return { done: false, value: later };
    },
  };
  const reader = new DirectReader(results, maskError, {
    isReady: () => sink.isReady,
    write: result => sink.written.push(result),
    end: () => sink.ends++,
  });
  reader.read();
  const values = () => sink.written.map(({ data }) => data?.['value']);
  return { mailbox, reader, sink, settle, log, values };
}

test('a subscriber that cannot be written to gets the newest event when it can, then the end', () => {
  const { mailbox, reader, sink, values } = setUp();
  mailbox.put('a', '1');
  sink.isReady = false;
  for (const value of ['2', '3', '4']) mailbox.put('a', value);
  mailbox.end();
  assert.deepEqual(values(), ['1']);
  sink.isReady = true;
  reader.read();
  assert.deepEqual(values(), ['1', '4']);
  assert.equal(sink.ends, 1);
});

test('events wait for the result of the one before, and merge meanwhile', async () => {
  const { mailbox, sink, settle, values } = setUp();
  mailbox.put('a', 'later');
  mailbox.put('a', '2');
  mailbox.put('a', '3');
  mailbox.end();
  assert.deepEqual(values(), []);
  settle[0]?.({ data: { value: 'first' } });
  await until(() => sink.ends === 1);
  assert.deepEqual(values(), ['first', '3']);
});

test('a result that fails ends the stream once, is logged, and nothing follows it', async () => {
  const { mailbox, sink, settle, log, values } = setUp();
  mailbox.put('a', 'later');
  mailbox.put('a', '2');
  settle[0]?.(new Error('a bug'));
  await until(() => sink.ends > 0);
  mailbox.put('a', '3');
  assert.deepEqual(values(), []);
  assert.equal(sink.ends, 1);
  assert.equal(log.lines.filter(({ level }) => level === 'error').length, 1);
});

test('an error while an event is delivered reaches neither the poll nor other subscribers', () => {
  const { mailbox, sink } = setUp();
  mailbox.put('a', new GatewayError('NOT_FOUND', 'gone'));
  assert.equal(sink.ends, 1);
});

test('errors of an event are masked before they are written', async () => {
  const { mailbox, sink, settle } = setUp();
  mailbox.put('a', 'later');
  settle[0]?.({ data: null, errors: [new Error('a secret') as never] });
  await until(() => sink.written.length === 1);
  assert.equal(sink.written[0]?.errors?.[0]?.message, 'Unexpected error.');
});

test('nothing is written once the subscriber has left, also not what was being executed', async () => {
  const { mailbox, reader, sink, settle } = setUp();
  mailbox.put('a', 'later');
  reader.close();
  settle[0]?.({ data: { value: 'too late' } });
  mailbox.put('a', '2');
  await new Promise(resolve => setImmediate(resolve));
  assert.deepEqual(sink.written, []);
  assert.deepEqual(await mailbox.next(), { done: true, value: undefined });
});

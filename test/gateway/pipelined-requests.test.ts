import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { sendJson, startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { openConnection } from '../support/raw-connection.ts';
import { until } from '../support/until.ts';

const ADDRESS = '192.0.2.1';
const REQUESTS = 2;
// Each is read from upstream with a filter of its own.
const STATUSES = ['SUCCESS', 'WARNING', 'ERROR', 'TERMINATED'];

/**
 * A gateway whose upstream holds its answers, and a client that has sent several requests at once.
 */
async function start(t: TestContext, env: Record<string, string> = {}) {
  const upstream = await startHostileUpstream(t);
  const held: ServerResponse[] = [];
  upstream.respond = response => void held.push(response);
  const { url, gateway, query } = await startGatewayOver(t, upstream.url, env);
  const open = () => openConnection(t, url);
  const connection = await open();
  const pipeline = async (first: number, last: number, on = connection) => {
    const places = Array.from({ length: last - first + 1 }, (_, at) => first + at);
    on.write(places.map(requestFor).join(''));
    await until(() => held.length >= last);
  };
  await pipeline(1, REQUESTS);
  const release = () => {
    for (const response of held) sendJson(response, 200, []);
  };
  return { gateway, query, open, connection, pipeline, release };
}

function requestFor(place: number): string {
  const filter = `{ completionStatus: { eq: ${STATUSES[place - 1]} } }`;
  const query = `{ page${place}: taskStatuses(filter: ${filter}) { nodes { id } } }`;
  const body = JSON.stringify({ query });
  return `POST /graphql HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: ${ADDRESS}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

test('requests sent before earlier ones are answered do not count once their client has left', async t => {
  const { connection, open, pipeline, query, release } = await start(t, {
    TRUST_PROXY: 'loopback',
    MAX_CONNECTIONS_PER_ADDRESS: `${REQUESTS}`,
  });
  const ask = () => query('{ __typename }', {}, { 'x-forwarded-for': ADDRESS });
  assert.equal((await ask()).status, 429);
  connection.socket.destroy();
  await until(async () => (await ask()).status === 200);
  const next = await open();
  await pipeline(REQUESTS + 1, 2 * REQUESTS, next);
  release();
  for (let place = 1; place <= REQUESTS; place++) assert.equal((await next.answer()).status, 200);
});

test('all requests of a connection are answered before the gateway has closed, and the last answer ends it', async t => {
  const { gateway, connection, pipeline, release } = await start(t, {
    SHUTDOWN_GRACE_MS: '60000',
  });
  const closed = gateway.close();
  // One more, which was on its way.
  await pipeline(REQUESTS + 1, REQUESTS + 1);
  release();
  for (let place = 1; place <= REQUESTS + 1; place++) {
    const { headers, body } = await connection.answer();
    assert.deepEqual(JSON.parse(body), { data: { [`page${place}`]: { nodes: [] } } });
    assert.equal(headers['connection'] === 'close', place === REQUESTS + 1);
  }
  await closed;
});

import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { until } from '../support/until.ts';

test('a request that several fields of one operation share is given up when its client leaves', async t => {
  const upstream = await startHostileUpstream(t);
  const { url } = await startGatewayOver(t, upstream.url);
  const givenUp = new Promise<void>(resolve => {
    upstream.respond = (response: ServerResponse) => response.once('close', resolve);
  });
  const query = `{ _entities(representations: [{ __typename: "Source", id: "a" }, { __typename: "Source", id: "b" }]) {
    ... on Source { tasks(first: 1) { nodes { id } } latestTask { id } } } }`;
  const client = new AbortController();
  const answer = fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query }),
    signal: client.signal,
  });
  await until(() => upstream.requests.length > 0);
  client.abort();
  await assert.rejects(answer, { name: 'AbortError' });
  await givenUp;
});

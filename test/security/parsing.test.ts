import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandClock } from '../support/hand-clock.ts';
import { fetchToken, startGateway } from '../support/start.ts';
import { SEND } from '../support/transports.ts';

/** A document of 13,000 tokens, which is refused for its cost once it is parsed. */
function longDocument(name: string): string {
  const fields = Array.from({ length: 45 }, (_, place) => `a${place}: id`).join(' ');
  const tasks = Array.from(
    { length: 90 },
    (_, place) => `t${place}: taskStatus(id: "${place}") { ${fields} }`,
  );
  return `query ${name} { ${tasks.join(' ')} }`;
}

for (const transport of ['POST', 'SSE', 'stream', 'multipart', 'WebSocket'] as const)
  test(`${transport}: forged tokens have few long documents parsed, and accepted ones as many as they send`, async t => {
    const clock = new HandClock();
    const { sandbox, url } = await startGateway(t, {
      clock,
      env: {
        AUTH_MODE: 'passthrough',
        MAX_ALIASES: '10000',
        MAX_TOKENS: '15000',
        MAX_COST: '1000',
        MAX_BODY_BYTES: '1000000',
      },
    });
    const send = (name: string, token: string) =>
      SEND[transport](url, { query: longDocument(name) }, `Bearer ${token}`);
    const good = await fetchToken(sandbox);
    const first = await SEND[transport](
      url,
      { query: '{ taskStatuses(first: 1) { nodes { id } } }' },
      `Bearer ${good}`,
    );
    assert.deepEqual(first.codes, [], first.text);

    assert.deepEqual((await send('First', 'forged1')).codes, ['BAD_USER_INPUT']);
    const { codes, text } = await send('Second', 'forged2');
    assert.deepEqual(codes, ['RATE_LIMITED']);
    assert.match(text, /"retryAfterSeconds":\d/);
    for (const name of ['Third', 'Fourth', 'Fifth'])
      assert.deepEqual((await send(name, good)).codes, ['BAD_USER_INPUT']);
    // Parsed before, so it takes nothing to refuse it for its cost.
    const again = await send('Fifth', 'forged3');
    assert.deepEqual(again.codes, ['BAD_USER_INPUT'], again.text);
    clock.advance(2_000);
    assert.deepEqual((await send('Sixth', 'forged4')).codes, ['BAD_USER_INPUT']);
  });

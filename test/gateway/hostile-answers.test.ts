import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { removeSecrets } from '../../src/upstream/secrets.ts';
import {
  TOKEN,
  sendJson,
  startGatewayOver,
  startHostileUpstream,
} from '../support/hostile-upstream.ts';
import { SPECIFIED_ROW } from '../support/row.ts';
import { subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

const LIST =
  'query ($launcher: String!) { taskStatuses(first: 10, filter: { launcher: { eq: $launcher } }) { nodes { id } } }';
const CHANGED = 'subscription { taskStatusChanged(snapshot: true) { kind taskStatus { id } } }';
const rowOf = (id: string) => ({ ...SPECIFIED_ROW, id });

test('an answer of 300 MB is refused, compressed or not, while another caller is served', async t => {
  const upstream = await startHostileUpstream(t);
  const { query } = await startGatewayOver(t, upstream.url);
  const megabyte = Buffer.alloc(1_048_576, ' ');
  const packed = gzipSync(Buffer.alloc(300 * 1_048_576, ' '));
  let sent = 0;
  upstream.respond = async (response, { url = '' }) => {
    if (url.includes('packed')) {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(packed);
    } else if (url.includes('plain')) {
      response.on('error', () => {});
      for (let count = 0; count < 300 && !response.destroyed; count++) {
        sent++;
        if (!response.write(megabyte))
          await Promise.race([once(response, 'drain'), once(response, 'close')]);
      }
      response.end();
    } else sendJson(response, 200, [rowOf('a')]);
  };
  const ask = (launcher: string) => query(LIST, { launcher });
  const huge = Promise.all(['packed', 'plain'].map(ask));
  for (let count = 0; count < 10; count++)
    assert.deepEqual((await ask(`victim ${count}`)).data?.taskStatuses.nodes, [{ id: 'a' }]);
  for (const { errors } of await huge) {
    assert.equal(errors?.[0]?.extensions['code'], 'UPSTREAM_INVALID_RESPONSE');
    assert.match(errors[0].message, /larger than \d+ bytes/);
  }
  assert.ok(sent < 100, `${sent} MB were read`);
});

test('a huge row, or one nested 5,000 levels deep, does not affect the other rows of its page', async t => {
  const upstream = await startHostileUpstream(t);
  const { query } = await startGatewayOver(t, upstream.url);
  const nested = `{"id":"deep","created":"${SPECIFIED_ROW.created}","attributes":${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}}`;
  const huge = JSON.stringify({ ...rowOf('huge'), description: 'x'.repeat(6_000_000) });
  upstream.respond = response =>
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(`[${JSON.stringify(rowOf('a'))},${nested},${huge},${JSON.stringify(rowOf('b'))}]`);
  const { data } = await query(LIST, { launcher: 'x' });
  assert.deepEqual(
    data?.taskStatuses.nodes.map(({ id }: { id: string }) => id),
    ['a', 'deep', 'b'],
  );
});

test('rows of a page beyond the requested limit are not read', async t => {
  const upstream = await startHostileUpstream(t);
  const { query } = await startGatewayOver(t, upstream.url);
  const rows = Array.from({ length: 300 }, (_, place) => JSON.stringify(rowOf(`${place}`)));
  // The rest is not JSON.
  upstream.respond = response => response.end(`[${rows.join(',')},oops]`);
  const { data, errors } = await query(LIST, { launcher: 'x' });
  assert.equal(errors, undefined);
  assert.equal(data.taskStatuses.nodes.length, 10);
});

/** An endless list, newest first or oldest first. */
function endless(url: string) {
  const params = new URL(url, 'http://upstream').searchParams;
  const [offset, limit] = [Number(params.get('offset') ?? 0), Number(params.get('limit') ?? 250)];
  const sign = params.get('sorters') === '-created' ? -1 : 1;
  return Array.from({ length: limit }, (_, place) => ({
    ...rowOf(`${sign} ${offset + place}`),
    completed: null,
    completionStatus: null,
    created: new Date(Date.UTC(2026, 0, 1) + sign * (offset + place)).toISOString(),
  }));
}

for (const transport of ['sse', 'ws'] as const)
  test(`${transport}: reading an endless list stops when the last subscriber leaves`, async t => {
    const upstream = await startHostileUpstream(t);
    const { url } = await startGatewayOver(t, upstream.url);
    let isHeld = false;
    const held: (() => void)[] = [];
    upstream.respond = (response, request) => {
      const answer = () => sendJson(response, 200, endless(request.url ?? ''));
      if (isHeld) held.push(answer);
      else answer();
    };
    const events = subscribe(t, transport, url, CHANGED);
    const first = events.next().catch(() => {});
    await until(() => upstream.requests.length >= 5);
    isHeld = true;
    await until(() => held.length > 0);
    await events.return?.();
    await first;
    const before = upstream.requests.length;
    // A request of another caller. If the walk had continued, its next request would be sent before
    // this answer.
    for (const answer of held.splice(0)) answer();
    isHeld = false;
    const { query } = await startGatewayOver(t, upstream.url);
    for (let count = 0; count < 5; count++) await query(LIST, { launcher: `${count}` });
    const walked = upstream.requests
      .slice(before)
      .filter(({ target }) => !target.includes('launcher'));
    assert.deepEqual(walked.length <= 1, true, `${walked.length} more pages were read`);
  });

test('a subscription to an endless list fails with a code before memory runs out', async t => {
  const upstream = await startHostileUpstream(t);
  const { url } = await startGatewayOver(t, upstream.url);
  upstream.respond = (response, { url: target = '' }) => sendJson(response, 200, endless(target));
  const { value } = await subscribe(t, 'sse', url, CHANGED).next();
  assert.equal(value?.errors?.[0]?.extensions?.['code'], 'UPSTREAM_UNAVAILABLE');
  assert.ok(upstream.requests.length <= 410);
});

const SECRET = 'eyJhbGciOiJIUzI1NiJ9.eyJjbGllbnRfaWQiOiJhYmMiLCJqdGkiOiI0MiJ9.Zm9vYmFyYmF6cXV4-_x';
const ENCODINGS: Record<string, (token: string) => string> = {
  'as it is': token => token,
  'split by spaces': token => token.replace(/.{7}/g, '$& '),
  'split by zero-width characters': token => token.replace(/.{3}/g, '$&\u200b'),
  'split by lines': token => token.replace(/.{16}/g, '$&\r\n'),
  'in base64': token => Buffer.from(`x${token}`).toString('base64'),
  'in base64 with its scheme': token => Buffer.from(`Bearer ${token}`).toString('base64'),
  'in hexadecimal': token => Buffer.from(token).toString('hex'),
  'percent-encoded': token =>
    token.replace(/[^a-z\d]/gi, one => `%${one.charCodeAt(0).toString(16)}`),
  'escaped as in HTML': token => token.replace(/[^a-z\d]/gi, one => `&#${one.charCodeAt(0)};`),
  'escaped as in JSON': token =>
    token.replace(/[^a-z\d]/gi, one => `\\u00${one.charCodeAt(0).toString(16)}`),
  'in full-width characters': token =>
    token.replace(/[!-~]/g, one => String.fromCodePoint(one.charCodeAt(0) + 0xfee0)),
  'after a scheme in odd letters': token => `bEaReR: "${token}"`,
  'in two halves': token => `${token.slice(30)} then ${token.slice(0, 30)}`,
  'turned by bidi marks': token => `\u202e${token}\u202c`,
};

test('if upstream echoes the token of a request, in any form and place, no part of it reaches a caller or the log', async t => {
  const upstream = await startHostileUpstream(t);
  for (const token of [SECRET, TOKEN, 'b3BhcXVl-short-1']) {
    const { query, log } = await startGatewayOver(t, upstream.url, { AUTH_MODE: 'passthrough' });
    for (const [name, encode] of Object.entries(ENCODINGS)) {
      const echoed = encode(token);
      for (const body of [
        { messages: [{ text: `Sorry: ${echoed} is not good here` }] },
        { detailCode: echoed, trackingId: echoed, message: 'plain' },
        { error: 'x', error_description: JSON.stringify({ authorization: `Bearer ${echoed}` }) },
      ])
        for (const status of [400, 500]) {
          upstream.respond = response => {
            response.setHeader('slpt-request-id', echoed.replace(/[^\w-]/g, '').slice(0, 60));
            sendJson(response, status, body);
          };
          const { errors } = await query(
            LIST,
            { launcher: 'x' },
            { authorization: `Bearer ${token}` },
          );
          const all = JSON.stringify([errors, log.lines]);
          const letters = all.replace(/[^a-z\d]/gi, '').toLowerCase();
          for (const form of [token, echoed].map(text =>
            text
              .normalize('NFKC')
              .replace(/[^a-z\d]/gi, '')
              .toLowerCase(),
          ))
            for (let at = 0; at + 16 <= form.length; at++)
              assert.ok(
                !letters.includes(form.slice(at, at + 16)) ||
                  /sorry|isnotgood/.test(form.slice(at, at + 16)),
                `${name}: ${all}`,
              );
          const [error] = errors ?? [];
          assert.ok(error !== undefined && error.message.length < 500);
          // eslint-disable-next-line no-control-regex
          assert.doesNotMatch(error.message, /[\p{Cc}\p{Cf}]/u);
        }
    }
  }
});

test('if the token endpoint echoes the client secret, it reaches neither a caller nor the log', async t => {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', chunk => (body += chunk));
    request.on('end', () =>
      sendJson(response, 400, {
        error: 'x',
        error_description: `what is ${body} (${new URLSearchParams(body).get('client_secret')})?`,
      }),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { query, log } = await startGatewayOver(
    t,
    `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    { SAIL_CLIENT_SECRET: 'hush-hush-1234567890' },
  );
  const { errors } = await query(LIST, { launcher: 'x' });
  assert.equal(errors?.[0]?.extensions['code'], 'UPSTREAM_UNAVAILABLE');
  assert.ok(!JSON.stringify([errors, log.lines]).includes('1234567890'));
});

test('however a secret is split, no twelve consecutive characters of it remain', () => {
  fc.assert(
    fc.property(
      fc.stringMatching(/^[\w.-]{12,80}$/),
      fc.array(fc.nat({ max: 80 }), { maxLength: 10 }),
      fc.constantFrom(' ', '\n', '", "', ' + ', '.', '/'),
      fc.string(),
      fc.string(),
      (secret, cuts, separator, before, after) => {
        const places = [
          ...new Set([0, ...cuts.filter(cut => cut < secret.length), secret.length]),
        ].toSorted((a, b) => a - b);
        const echoed = places
          .slice(1)
          .map((end, place) => secret.slice(places[place], end))
          .join(separator);
        const clean = removeSecrets(`${before}${echoed}${after}`, {
          authorization: `Bearer ${secret}`,
        });
        const letters = secret.replace(/[^a-z\d]/gi, '');
        for (let at = 0; at + 12 <= letters.length; at++)
          assert.ok(!clean.replace(/[^a-z\d]/gi, '').includes(letters.slice(at, at + 12)));
      },
    ),
    { numRuns: 2_000 },
  );
});

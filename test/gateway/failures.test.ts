import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandClock } from '../support/hand-clock.ts';
import {
  type Respond,
  TOKEN,
  sendJson,
  startGatewayOver,
  startHostileUpstream,
} from '../support/hostile-upstream.ts';
import { until } from '../support/until.ts';

const LIST =
  'query ($launcher: String!) { taskStatuses(first: 5, filter: { launcher: { eq: $launcher } }) { nodes { id } } }';
const BY_ID = '{ taskStatus(id: "a") { id } }';
const UPDATE =
  'mutation { updateTaskStatus(input: { id: "a", completionStatus: ERROR }) { taskStatus { id } } }';

const json =
  (status: number, body: unknown): Respond =>
  response =>
    sendJson(response, status, body);
const html =
  (status: number, headers: Record<string, string> = {}): Respond =>
  response =>
    response
      .writeHead(status, { 'content-type': 'text/html', ...headers })
      .end('<h1>secret words of a proxy</h1>');
const empty =
  (status: number, headers: Record<string, string> = {}): Respond =>
  response =>
    response.writeHead(status, headers).end();
const words = (text: string) => ({ detailCode: `1 ${text}`, messages: [{ text }], causes: [] });

interface Case {
  name: string;
  respond: Respond;
  code: string;
  /** The message that the caller gets. */
  message: RegExp;
  /** How many requests one read sends. */
  requests: number;
  /** The message in the log; null for none. */
  cause: RegExp | null;
}

const CASES: Case[] = [
  // Messages of upstream, in each place where a service puts them.
  ...[
    words('Filter property is not supported'),
    { formatted_msg: 'Filter property is not supported' },
    { message: ' Filter property\nis not supported ' },
    { error: 'Filter property is not supported' },
    { error: 'bad_filter', error_description: 'Filter property is not supported' },
    { errorMessage: 'Filter property is not supported' },
    { detailMessage: 'Filter property is not supported' },
    { messages: [], causes: [{ text: 'Filter property is not supported' }] },
    { messages: 'odd', causes: [null], message: 'Filter property is not supported', trackingId: 7 },
  ].map(body => ({
    name: `500 with ${Object.keys(body).join(', ')}`,
    respond: json(500, body),
    code: 'UPSTREAM_UNAVAILABLE',
    message: /^Upstream failed with status 500: Filter property is not supported$/,
    requests: 2,
    cause: /^status 500, with a message of upstream$/,
  })),
  {
    name: '500 with only a code',
    respond: json(500, { detailCode: '500.0 Internal Fault' }),
    code: 'UPSTREAM_UNAVAILABLE',
    message: /: 500\.0 Internal Fault$/,
    requests: 2,
    cause: /with a message of upstream/,
  },
  {
    name: '503 with a message',
    respond: json(503, words('Down for maintenance')),
    code: 'UPSTREAM_UNAVAILABLE',
    message: /: Down for maintenance$/,
    requests: 4,
    cause: /status 503, with a message of upstream/,
  },
  {
    name: '500 without a message',
    respond: html(500),
    code: 'UPSTREAM_UNAVAILABLE',
    message: /^Upstream failed with status 500\.$/,
    requests: 4,
    cause: /^status 500$/,
  },
  {
    name: '403 with a message',
    respond: json(403, words('Not for HELPDESK')),
    code: 'FORBIDDEN',
    message: /: Not for HELPDESK$/,
    requests: 1,
    cause: null,
  },
  {
    name: '403 without a body, of upstream',
    respond: empty(403, { 'slpt-request-id': 'ab12' }),
    code: 'FORBIDDEN',
    message: /^The token lacks permission for this request\.$/,
    requests: 1,
    cause: null,
  },
  {
    name: '403 of a firewall',
    respond: response =>
      response.writeHead(403, { 'content-type': 'text/plain' }).end('error code: 1010'),
    code: 'UPSTREAM_UNAVAILABLE',
    message: /A proxy or firewall before upstream answered with status 403\.$/,
    requests: 1,
    cause: /status 403 without JSON: the answer of a proxy or firewall/,
  },
  {
    name: '403 without a body',
    respond: empty(403),
    code: 'UPSTREAM_UNAVAILABLE',
    message: /proxy or firewall/,
    requests: 1,
    cause: /proxy or firewall/,
  },
  {
    name: '503 of a proxy',
    respond: html(503),
    code: 'UPSTREAM_UNAVAILABLE',
    message: /A proxy or firewall before upstream answered with status 503\.$/,
    requests: 4,
    cause: /status 503 without JSON/,
  },
  ...[301, 302, 303, 307, 308].map(status => ({
    name: `redirect ${status}`,
    respond: html(status, { location: '/elsewhere?token=x' }),
    code: 'UPSTREAM_UNAVAILABLE',
    message: /redirect.*URL of the tenant's API/,
    requests: 1,
    cause: /SAIL_BASE_URL/,
  })),
  ...[400, 405, 406, 409, 411, 413, 415, 416, 418, 422, 431, 451].map(status => ({
    name: `${status} without a message`,
    respond: html(status),
    code: 'BAD_USER_INPUT',
    message: /^Upstream refused the request/,
    requests: 1,
    cause: null,
  })),
  {
    name: '422 with a message',
    respond: json(422, { message: 'No such sorter' }),
    code: 'BAD_USER_INPUT',
    message: /^Upstream refused the request with status 422: No such sorter$/,
    requests: 1,
    cause: null,
  },
  // The list is at the same path for every tenant: what is missing is the API, and not a task.
  ...[json(404, words('No representation')), json(410, {}), html(404), empty(404)].map(
    (respond, index) => ({
      name: `no list of tasks (${index})`,
      respond,
      code: 'UPSTREAM_UNAVAILABLE',
      message: /^Upstream has no list of tasks at the configured address(\.|: No representation)$/,
      requests: 1,
      cause:
        /^status 4(04|10) for the list of tasks: check SAIL_BASE_URL and UPSTREAM_API_VERSION$/,
    }),
  ),
  {
    name: '408',
    respond: empty(408),
    code: 'UPSTREAM_TIMEOUT',
    message: /in time/,
    requests: 4,
    cause: null,
  },
];

for (const { name, respond, code, message, requests, cause } of CASES)
  test(`${name} is ${code} for the caller, after ${requests} attempts`, async t => {
    const upstream = await startHostileUpstream(t);
    const { query, causes, log } = await startGatewayOver(t, upstream.url);
    upstream.respond = respond;
    const [error] = (await query(LIST, { launcher: 'a caller’s own words' })).errors ?? [];
    assert.equal(error?.extensions['code'], code);
    assert.match(error?.message ?? '', message);
    assert.equal(upstream.requests.length, requests);
    assert.ok(upstream.requests.every(({ target }) => target.startsWith('/task-status/v1?')));
    assert.equal(causes().length, cause === null ? 0 : requests);
    for (const line of causes()) assert.match(line, cause!);
    const all = JSON.stringify([error, log.lines]);
    for (const secret of [TOKEN, 'secret', 'own words', 'elsewhere'])
      assert.ok(!all.includes(secret), secret);
  });

test('a PATCH that upstream refuses with a message is not sent again, whatever the status', async t => {
  const upstream = await startHostileUpstream(t);
  const { query } = await startGatewayOver(t, upstream.url);
  upstream.respond = json(500, words('No'));
  assert.match((await query(UPDATE)).errors?.[0]?.message ?? '', /: No$/);
  assert.equal(upstream.requests.length, 1);
});

const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl';

test('secrets and request headers are removed from messages of upstream', async t => {
  const upstream = await startHostileUpstream(t);
  const { query, log } = await startGatewayOver(t, upstream.url);
  const echoes: [text: (headers: Record<string, unknown>) => string, kept: RegExp][] = [
    [headers => `Cannot read ${JSON.stringify(headers)} today`, /^.*Cannot read .* today$/],
    [
      headers =>
        Object.entries(headers)
          .map(pair => pair.join(': '))
          .join('\r\n'),
      /./,
    ],
    [
      headers => `token ${String(headers['authorization']).slice('Bearer '.length)} is bad`,
      /token .* is bad$/,
    ],
    [() => `JWT ${JWT} has expired`, /JWT \[removed\] has expired$/],
    [() => `Basic dXNlcjpwYXNzd29yZA== is not Bearer ${JWT}`, /\[removed\] is not \[removed\]$/],
    [() => `key ${'0123456789abcdef'.repeat(4)} leaked`, /key \[removed\] leaked$/],
    [
      () => 'id 2c91808475b4334b0175e1dff64b63c5 is gone',
      /id 2c91808475b4334b0175e1dff64b63c5 is gone$/,
    ],
    [() => '<script>alert(1)</script>\u0000\u202ename', /alert\(1\) name$/],
    [() => 'long '.repeat(100_000), /^Upstream refused the request: (long )+.*…$/],
  ];
  for (const [text, kept] of echoes) {
    upstream.respond = (response, { headers }) =>
      sendJson(response, 400, { detailCode: text(headers), messages: [{ text: text(headers) }] });
    const [error] = (await query(BY_ID)).errors ?? [];
    assert.equal(error?.extensions['code'], 'BAD_USER_INPUT');
    assert.match(error?.message ?? '', kept);
    assert.ok((error?.message ?? '').length < 400);
    const all = JSON.stringify([error, log.lines]);
    for (const secret of [
      TOKEN,
      JWT,
      'dXNlcjpwYXNzd29yZA',
      'task-status-gateway/',
      '<script>',
      '0123456789abcdef0123456789abcdef',
    ])
      assert.ok(!all.includes(secret), `${secret} in ${error?.message}`);
  }
});

test('a caller who three times gets a 500 with an upstream message does not affect other callers', async t => {
  const upstream = await startHostileUpstream(t);
  upstream.respond = (response, { url = '' }) =>
    url.includes('odd')
      ? json(500, words('Unsupported'))(response, {} as never)
      : sendJson(response, 200, []);
  for (const mode of ['service', 'passthrough']) {
    const { query } = await startGatewayOver(t, upstream.url, { AUTH_MODE: mode });
    const ask = (launcher: string, token: string) =>
      query(LIST, { launcher }, { authorization: `Bearer ${token}` });
    const [odd, plain] = await Promise.all([
      (async () => {
        const answers = [];
        for (let count = 0; count < 3; count++) answers.push(await ask('odd', 'a'));
        return answers;
      })(),
      Promise.all(Array.from({ length: 20 }, (_, place) => ask(`b${place}`, 'b'))),
    ]);
    for (const { errors } of odd) assert.match(errors?.[0]?.message ?? '', /: Unsupported$/);
    plain.push(await ask('after', 'b'));
    for (const { errors } of plain) assert.equal(errors, undefined);
  }
});

test('a caller who keeps getting a 500 with an upstream message does not stop other callers', async t => {
  const upstream = await startHostileUpstream(t);
  upstream.respond = (response, { url = '' }) =>
    url.includes('odd')
      ? json(500, words('Unsupported'))(response, {} as never)
      : sendJson(response, 200, []);
  const clock = new HandClock();
  const { query } = await startGatewayOver(t, upstream.url, {}, clock);
  for (let second = 0; second < 6; second++) {
    let open = 8;
    for (let count = 0; count < 8; count++)
      void query(LIST, { launcher: `odd ${count}` }).finally(() => open--);
    await until(() => {
      clock.advance(50);
      return open === 0;
    });
    clock.advance(1_000);
  }
  assert.ok(upstream.requests.length >= 90);
  assert.equal((await query(LIST, { launcher: 'plain' })).errors, undefined);
});

test('upstream failures for one credential do not stop reads of another', async t => {
  const upstream = await startHostileUpstream(t);
  upstream.respond = (response, { headers }) =>
    headers.authorization === 'Bearer bad'
      ? html(500)(response, {} as never)
      : sendJson(response, 200, []);
  const { query } = await startGatewayOver(t, upstream.url, { AUTH_MODE: 'passthrough' });
  const ask = async (token: string) =>
    (await query(LIST, { launcher: token }, { authorization: `Bearer ${token}` })).errors?.[0];
  for (let isOpen = false; !isOpen;) {
    const errors = await Promise.all(Array.from({ length: 8 }, () => ask('bad')));
    isOpen = errors.some(error =>
      /requests are paused for a short time/.test(error?.message ?? ''),
    );
  }
  assert.equal(await ask('good'), undefined);
});

test('an absurdly long Retry-After pauses a client for an hour at most', async t => {
  const upstream = await startHostileUpstream(t);
  const { query } = await startGatewayOver(t, upstream.url);
  upstream.respond = empty(429, { 'retry-after': '1000000000000' });
  const [error] = (await query(BY_ID)).errors ?? [];
  assert.deepEqual(
    [error?.extensions['code'], error?.extensions['retryAfterSeconds']],
    ['RATE_LIMITED', 3_600],
  );
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { checkTenant } from '../src/check.ts';
import { readConfig } from '../src/config.ts';
import {
  type Respond,
  certificatePath,
  sendJson,
  startHostileUpstream,
  startRawServer,
} from './support/hostile-upstream.ts';
import { spawnMain } from './support/process.ts';
import { startSandbox } from './support/start.ts';

/** What `check` prints of a tenant, in this process. */
async function check(env: Record<string, string>) {
  const config = readConfig(env);
  const lines: string[] = [];
  const { client } = config;
  const tenant = { baseUrl: config.baseUrl ?? assert.fail(), client, isSandbox: false };
  const isWell = await checkTenant(config, tenant, line => lines.push(line));
  return { code: isWell ? 0 : 1, text: lines.join('\n') };
}

/** Runs the command to its end. */
async function run(t: TestContext, env: Record<string, string>) {
  const child = spawnMain(t, ['check'], env);
  let text = '';
  child.stdout?.on('data', chunk => (text += chunk));
  child.stderr?.on('data', chunk => (text += chunk));
  const [code] = (await once(child, 'close')) as [number];
  return { code, text };
}

const CLIENT = { SAIL_CLIENT_ID: 'client', SAIL_CLIENT_SECRET: 'a-secret-of-the-client' };

test('check reads one task of the tenant and says that all is well', async t => {
  const sandbox = await startSandbox(t);
  const id = sandbox.tenant.addTask();
  const { code, text } = await run(t, {
    SAIL_BASE_URL: sandbox.url,
    SAIL_CLIENT_ID: sandbox.client.id,
    SAIL_CLIENT_SECRET: sandbox.client.secret,
  });
  assert.match(text, new RegExp(`token +ok[^]*tasks +ok +read ${id}`));
  assert.ok(!text.includes(sandbox.client.secret));
  assert.equal(code, 0);
});

test('check without a tenant says that it was the sandbox', async t => {
  const { code, text } = await run(t, {});
  assert.match(text, /embedded sandbox, whose tasks are invented[^]*tasks +ok/);
  assert.equal(code, 0);
});

test('check says what is wrong with the configuration, a line each', async t => {
  const { code, text } = await run(t, { PORT: 'x', SAIL_BASEURL: 'https://a.example' });
  assert.match(text, /SAIL_BASEURL: .*SAIL_BASE_URL[^]*PORT: must be/);
  assert.equal(code, 1);
});

test('check without a client says that the tenant answers, and how to read a task', async t => {
  const sandbox = await startSandbox(t);
  const { code, text } = await check({ SAIL_BASE_URL: sandbox.url });
  assert.match(text, /tenant +ok +it answers[^]*Set SAIL_CLIENT_ID/);
  assert.equal(code, 0);
});

test('check says which secret is wrong', async t => {
  const sandbox = await startSandbox(t);
  const { code, text } = await check({ ...CLIENT, SAIL_BASE_URL: sandbox.url });
  assert.match(
    text,
    /token +failed .*status 40[01][^]*-> Check SAIL_CLIENT_ID and SAIL_CLIENT_SECRET/,
  );
  assert.ok(!text.includes('a-secret-of-the-client'));
  assert.equal(code, 1);
});

const REFUSALS: readonly [status: number, advice: RegExp, headers?: Record<string, string>][] = [
  [401, /tasks +failed[^]*-> Upstream grants a token and then refuses it/],
  [403, /tasks +failed[^]*-> The client may not read task status: .*idn:task-management:read/],
  [404, /tasks +failed[^]*-> The tenant does not have API version v1[^]*UPSTREAM_API_VERSION/],
  [
    429,
    /tasks +failed[^]*-> The client's rate limit is used up[^]*Try again in \d+ s/,
    { 'retry-after': '60' },
  ],
];
for (const [status, advice, headers = {}] of REFUSALS)
  test(`check says what to do about a ${status}`, async t => {
    const upstream = await startHostileUpstream(t);
    upstream.respond = response => {
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      sendJson(response, status, { detailCode: `${status}`, messages: [{ text: 'No.' }] });
    };
    const { code, text } = await check({ ...CLIENT, SAIL_BASE_URL: upstream.url });
    assert.match(text, advice);
    assert.equal(code, 1);
  });

const FAILURES: readonly [what: string, respond: Respond, said: RegExp][] = [
  [
    'a firewall',
    response => response.writeHead(403).end('<html>Blocked</html>'),
    /firewall[^]*-> Let the address of this machine through/,
  ],
  [
    'a server before the tenant that has no tenant behind it',
    response => response.writeHead(503).end('<html>No backend</html>'),
    /status 503[^]*-> The tenant, or a proxy before it, fails/,
  ],
  [
    'a proxy that wants a password',
    response => response.writeHead(407).end(),
    /407[^]*-> Put the user and password/,
  ],
  [
    'a tenant that fails',
    response => response.writeHead(500).end(),
    /status 500[^]*-> The tenant, or a proxy before it, fails/,
  ],
  [
    'a connection that is closed',
    response => response.destroy(),
    /the connection was closed before[^]*-> Check the host in SAIL_BASE_URL/,
  ],
  ['silence', () => {}, /no complete answer within 50 ms[^]*-> Check the host in SAIL_BASE_URL/],
];
for (const [what, respond, said] of FAILURES)
  test(`check says what to do about ${what}, with and without a client`, async t => {
    const upstream = await startHostileUpstream(t);
    upstream.respond = respond;
    for (const client of [CLIENT, {}]) {
      const { code, text } = await check({
        ...client,
        SAIL_BASE_URL: upstream.url,
        UPSTREAM_TIMEOUT_MS: '50',
      });
      assert.match(text, said);
      assert.equal(code, 1);
    }
  });

test('check says what to do about a host that cannot be reached, with and without a client', async () => {
  for (const client of [CLIENT, {}]) {
    const { code, text } = await check({ ...client, SAIL_BASE_URL: 'http://127.0.0.1:1' });
    assert.match(text, /failed +the connection was refused[^]*-> Check the host in SAIL_BASE_URL/);
    assert.equal(code, 1);
  }
});

test('check says what to do about a certificate that is not trusted', async t => {
  const upstream = await startHostileUpstream(t, 'good');
  const { code, text } = await check({ ...CLIENT, SAIL_BASE_URL: upstream.url });
  assert.match(text, /certificate is self-signed[^]*-> Check the host.*NODE_EXTRA_CA_CERTS/);
  assert.equal(code, 1);
});

test('check says what to do about a certificate that has expired', async t => {
  const upstream = await startHostileUpstream(t, 'expired');
  const { text } = await run(t, {
    ...CLIENT,
    SAIL_BASE_URL: upstream.url,
    NODE_EXTRA_CA_CERTS: certificatePath('expired'),
  });
  assert.match(
    text,
    /certificate has expired[^]*-> Check the clock.*certificate of that host.*must be renewed/,
  );
});

test('check says what to do about https where the host speaks plain HTTP', async t => {
  const upstream = await startHostileUpstream(t);
  const { text } = await check({
    ...CLIENT,
    SAIL_BASE_URL: upstream.url.replace('http', 'https'),
  });
  assert.match(text, /does not speak TLS[^]*-> Check the host in SAIL_BASE_URL/);
  assert.doesNotMatch(text, /certificate/);
});

test('check says what to do about a proxy that wants a password before it connects', async t => {
  const port = await startRawServer(t, 'HTTP/1.1 407 Authenticate\r\ncontent-length: 0\r\n\r\n');
  const { text } = await check({
    ...CLIENT,
    SAIL_BASE_URL: 'https://tenant.example.test',
    HTTPS_PROXY: `http://127.0.0.1:${port}`,
  });
  assert.match(text, /requires credentials \(407\)[^]*-> Put the user and password/);
});

test('check without a client does not take a 404 for an answer of the API', async t => {
  const upstream = await startHostileUpstream(t);
  for (const body of ['{"detailCode":"404 Not found"}', '<html>Not here</html>']) {
    upstream.respond = response => response.writeHead(404).end(body);
    const { code, text } = await check({ SAIL_BASE_URL: `${upstream.url}/beta` });
    assert.match(text, /configuration +ok .*http:\/\/127\.0\.0\.1:\d+\/beta\n/);
    assert.match(text, /tenant +failed .*404[^]*-> .*SAIL_BASE_URL[^]*UPSTREAM_API_VERSION/);
    assert.equal(code, 1);
  }
});

test('check says what to do about the address of the user interface in place of the API', async t => {
  const upstream = await startHostileUpstream(t);
  upstream.respond = response => response.writeHead(302, { location: 'https://a.example/' }).end();
  const { code, text } = await check({ ...CLIENT, SAIL_BASE_URL: upstream.url });
  assert.match(text, /redirect \(302\)[^]*-> Check that SAIL_BASE_URL is the tenant's API/);
  assert.equal(code, 1);
});

test('check says that Redis cannot be used', async t => {
  const sandbox = await startSandbox(t);
  const { code, text } = await check({
    SAIL_BASE_URL: sandbox.url,
    SAIL_CLIENT_ID: sandbox.client.id,
    SAIL_CLIENT_SECRET: sandbox.client.secret,
    REDIS_URL: 'redis://:a-password@127.0.0.1:1',
  });
  assert.match(text, /tasks +ok[^]*Redis +failed[^]*-> Check REDIS_URL/);
  assert.ok(!text.includes('a-password'));
  assert.equal(code, 1);
});

// As the first process of a container, it would not get a signal that it does not listen to.
test('check listens to the signals that end it', async t => {
  const upstream = await startHostileUpstream(t);
  const asked = new Promise<void>(resolve => (upstream.respond = () => resolve()));
  const child = spawnMain(t, ['check'], { SAIL_BASE_URL: upstream.url, ...CLIENT });
  const ended = once(child, 'exit');
  await asked;
  child.kill('SIGINT');
  assert.deepEqual(await ended, [130, null]);
});

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { UnsecuredJWT } from 'jose';
import { sendJson, startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { startIssuer } from '../support/issuer.ts';
import { WITHOUT_REDIS, redisUrlFor } from '../support/redis.ts';
import { fetchToken, postGraphQL, startGateway, startSandbox } from '../support/start.ts';
import { until } from '../support/until.ts';

const LIST =
  'query ($launcher: String!) { taskStatuses(first: 1, filter: { launcher: { eq: $launcher } }) { nodes { id } } }';

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/** An unsigned token with arbitrary claims. */
const forge = (clientId: string, serial: unknown) =>
  new UnsecuredJWT({ client_id: clientId, serial }).encode();

/** Attacks with sixteen concurrent requests until it is stopped. */
function attack(send: (count: number) => Promise<unknown>) {
  let isOver = false;
  let count = 0;
  const attackers = Array.from({ length: 16 }, async () => {
    while (!isOver) await send(count++);
  });
  return {
    get count() {
      return count;
    },
    async stop() {
      isOver = true;
      await Promise.all(attackers);
    },
  };
}

const FLEETS: Record<
  string,
  { skip: string | false; env(t: TestContext): Promise<Record<string, string>> }
> = {
  'one instance': { skip: false, env: async () => ({}) },
  'instances over Redis': {
    skip: WITHOUT_REDIS,
    env: async t => ({ REDIS_URL: await redisUrlFor(t) }),
  },
};

for (const [fleet, { skip, env }] of Object.entries(FLEETS)) {
  test(
    `${fleet}: forged tokens that name a client do not spend its budget, and all its callers are answered`,
    { skip },
    async t => {
      const gateway = await startGateway(t, {
        sandbox: { rateLimit: 40, rateWindowMs: 10_000 },
        env: {
          AUTH_MODE: 'passthrough',
          UPSTREAM_RATE_LIMIT: '40',
          UPSTREAM_RATE_WINDOW_MS: '10000',
          ...(await env(t)),
        },
      });
      const { sandbox, query } = gateway;
      const forged = attack(count =>
        query(LIST, { launcher: 'x' }, bearer(forge(sandbox.client.id, count))).then(({ errors }) =>
          assert.ok(
            ['UNAUTHENTICATED', 'RATE_LIMITED'].includes(errors?.[0]?.extensions['code']),
            JSON.stringify(errors),
          ),
        ),
      );
      await until(() => forged.count > 100);
      const token = await fetchToken(sandbox);
      for (let count = 0; count < 20; count++) {
        const before = forged.count;
        const { errors } = await query(LIST, { launcher: `v${count}` }, bearer(token));
        assert.deepEqual([count, errors], [count, undefined]);
        await until(() => forged.count > before + 10);
      }
      await forged.stop();
      assert.ok(sandbox.journal.requests.every(({ status }) => status !== 429));
    },
  );

  test(
    `${fleet}: a thousand good tokens of one client that arrive at once are all answered, and upstream sends no 429`,
    { skip },
    async t => {
      const [limit, windowMs] = [400, 1_000];
      const sandbox = await startSandbox(t, { rateLimit: limit, rateWindowMs: windowMs });
      const options = {
        over: sandbox,
        env: {
          AUTH_MODE: 'passthrough',
          UPSTREAM_RATE_LIMIT: String(limit),
          UPSTREAM_RATE_WINDOW_MS: String(windowMs),
          ...(await env(t)),
        },
      };
      const gateways = [await startGateway(t, options)];
      if ('REDIS_URL' in options.env) gateways.push(await startGateway(t, options));
      const tokens: string[] = [];
      while (tokens.length < 1_000)
        tokens.push(...(await Promise.all(Array.from({ length: 50 }, () => fetchToken(sandbox)))));
      const answers = await Promise.all(
        tokens.map((token, place) =>
          gateways[place % gateways.length]!.query(LIST, { launcher: `${place}` }, bearer(token)),
        ),
      );
      assert.deepEqual(
        answers.flatMap(({ errors }) => errors ?? []),
        [],
      );
      assert.equal(sandbox.journal.requests.length, 1_000);
      assert.ok(sandbox.journal.requests.every(({ status }) => status === 200));
    },
  );
}

test('a 429 for a forged token pauses that token and no other caller', async t => {
  const upstream = await startHostileUpstream(t);
  const good = forge('client', 'good');
  upstream.respond = (response, { headers }) => {
    if (headers.authorization === `Bearer ${good}`) return sendJson(response, 200, []);
    response.setHeader('retry-after', '300');
    return sendJson(response, 429, {});
  };
  const { query } = await startGatewayOver(t, upstream.url, { AUTH_MODE: 'passthrough' });
  const forged = forge('client', 'forged');
  for (let count = 0; count < 3; count++) {
    const { errors } = await query(LIST, { launcher: `${count}` }, bearer(forged));
    const { code, retryAfterSeconds } = errors?.[0]?.extensions ?? {};
    assert.equal(code, 'RATE_LIMITED');
    assert.ok(retryAfterSeconds > 290 && retryAfterSeconds <= 300, `${retryAfterSeconds}`);
  }
  assert.equal(upstream.requests.length, 1, 'the forged token is not sent again');
  for (let count = 0; count < 12; count++)
    assert.equal((await query(LIST, { launcher: `${count}` }, bearer(good))).errors, undefined);
});

test('a token that makes a proxy answer 431 or close the connection affects no other caller', async t => {
  const upstream = await startHostileUpstream(t);
  const good = forge('client', 'good');
  upstream.respond = (response, { headers }) => {
    const { authorization = '' } = headers;
    if (authorization === `Bearer ${good}`) return sendJson(response, 200, []);
    if (authorization.includes('reset')) return response.destroy();
    return response.writeHead(431).end();
  };
  const { query } = await startGatewayOver(t, upstream.url, { AUTH_MODE: 'passthrough' });
  let count = 0;
  const ask = (token: string) => query(LIST, { launcher: `${count++}` }, bearer(token));
  assert.equal((await ask(good)).errors, undefined);
  const garbage = attack(serial =>
    ask(
      serial % 2
        ? forge('client', `${serial} ${'x'.repeat(5_800)}`)
        : `reset-${serial}-${'x'.repeat(8_000)}`,
    ),
  );
  for (let round = 0; round < 30; round++) {
    const before = garbage.count;
    await until(() => garbage.count > before + 10);
    assert.equal((await ask(good)).errors, undefined);
  }
  await garbage.stop();
  assert.equal((await ask(forge('client', 'good'))).errors, undefined);
});

test('further requests with a refused token are answered without upstream', async t => {
  const upstream = await startHostileUpstream(t);
  upstream.respond = response => {
    response.statusCode = 401;
    response.end('{"error":"JWT validation failed"}');
  };
  const { query } = await startGatewayOver(t, upstream.url, { AUTH_MODE: 'passthrough' });
  const forged = bearer(forge('client', 0));
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, place) => query(LIST, { launcher: `${place}` }, forged)),
  );
  answers.push(await query(LIST, { launcher: 'after' }, forged));
  for (const { errors } of answers)
    assert.equal(errors?.[0]?.extensions['code'], 'UNAUTHENTICATED');
  assert.equal(upstream.requests.length, 1);
});

test('with PASSTHROUGH_JWKS_URL, a token that does not verify never reaches upstream', async t => {
  const issuer = await startIssuer(t);
  const upstream = await startHostileUpstream(t);
  const { query } = await startGatewayOver(t, upstream.url, {
    AUTH_MODE: 'passthrough',
    PASSTHROUGH_JWKS_URL: issuer.jwksUrl,
  });
  const { errors } = await query(LIST, { launcher: 'a' }, bearer(forge('client', 0)));
  assert.equal(errors?.[0]?.extensions['code'], 'UNAUTHENTICATED');
  assert.equal(upstream.requests.length, 0);
  const token = await issuer.sign({ clientId: 'client' });
  const answers = await Promise.all(
    ['b', 'c'].map(launcher => query(LIST, { launcher }, bearer(token))),
  );
  for (const answer of answers) assert.equal(answer.errors, undefined);
  assert.equal(upstream.requests[0]?.headers.authorization, `Bearer ${token}`);
});

test('a caller with a thousand lists delays another caller by one turn at most', async t => {
  const issuer = await startIssuer(t);
  const { sandbox, url } = await startGateway(t, {
    sandbox: { rateLimit: 20, rateWindowMs: 1_000 },
    env: {
      UPSTREAM_RATE_LIMIT: '20',
      UPSTREAM_RATE_WINDOW_MS: '1000',
      JWKS_URL: issuer.jwksUrl,
      JWT_ISSUER: issuer.issuer,
      JWT_AUDIENCE: 'gateway',
    },
  });
  const tokenOf = async (subject: string) => bearer(await issuer.sign({ subject }));
  const [greedy, modest] = await Promise.all([tokenOf('greedy'), tokenOf('modest')]);
  const answered: string[] = [];
  const refusals: Record<string, unknown>[] = [];
  const ask = async (launcher: string, headers: Record<string, string>) => {
    const { errors } = await postGraphQL(url, LIST, { launcher }, headers);
    if (errors === undefined) answered.push(launcher);
    else refusals.push(errors[0]!.extensions);
  };
  const lists = Array.from({ length: 1_000 }, (_, place) => ask(`greedy ${place}`, greedy));
  // About two hundred requests wait.
  await until(() => answered.length + refusals.length >= 800);
  for (let count = 0; count < 3; count++) {
    const before = sandbox.journal.requests.length;
    await ask(`modest ${count}`, modest);
    assert.ok(answered.includes(`modest ${count}`));
    const others = sandbox.journal.requests
      .slice(before)
      .findIndex(({ query }) => query.includes('modest'));
    // Served in order of arrival, it would be all that wait. Requests of one second may be sent
    // before it arrives.
    assert.ok(others >= 0 && others <= 20, `${others} of the others went first`);
  }
  await Promise.all(lists);
  for (const { code, retryAfterSeconds } of refusals) {
    assert.equal(code, 'RATE_LIMITED');
    assert.ok((retryAfterSeconds as number) >= 1);
  }
  assert.ok(answered.length >= 200, `${answered.length} were answered`);
  assert.ok(sandbox.journal.requests.every(({ status }) => status !== 429));
});

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { Redis } from 'ioredis';
import { createRedisFleet } from '../../src/fleet/redis.ts';
import { toRedisFault } from '../../src/fleet/redis-fault.ts';
import { createMemoryLog, openFleet } from '../support/fleet.ts';
import { WITHOUT_OWN_REDIS, freePort, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { systemClock } from '../../src/clock.ts';

const LIMITS = { limit: 20, windowMs: 400 };

/** The error of a start with this URL. */
async function refusalOf(
  url: string,
  startup: 'continue' | 'require' = 'continue',
): Promise<string> {
  const { log } = createMemoryLog();
  const options = { url, startup, limits: LIMITS, clock: systemClock, log, maxRequestMs: 1_000 };
  return createRedisFleet(options).then(
    async fleet => {
      await fleet.close();
      return 'started';
    },
    (error: Error) => error.message,
  );
}

/** Starts a Redis whose default user is disabled, with one user that has these rights. */
async function startWithUser(t: TestContext, rights: string) {
  const redis = await startRedis(t);
  const admin = new Redis(redis.url);
  t.after(() => admin.disconnect());
  await admin.call('ACL', 'SETUSER', 'gateway', 'on', '>s3cret', ...rights.split(' '));
  await admin.call('ACL', 'SETUSER', 'default', 'off');
  return { admin, redis, urlOf: (user: string) => redis.url.replace('//', `//${user}@`) };
}

// The rights that an operator would grant after reading the error message.
const ALLOWED =
  'resetchannels ~{task-status-gateway:* &{task-status-gateway:* -@all +@connection +@scripting +@sortedset +@set +@string +@keyspace +@pubsub +time +info';

const RIGHTS: [name: string, rights: string, reason: RegExp | 'started'][] = [
  ['the keys and channels of the gateway', ALLOWED, 'started'],
  ['no channel', 'resetchannels ~* +@all', /may not use the gateway's channels \(NOPERM\)/],
  [
    'other keys',
    'resetkeys ~other:* allchannels +@all',
    /may not use the gateway's keys \(NOPERM\)/,
  ],
  ['no scripts', '~* allchannels +@all -eval -evalsha', /may not run the command 'eval/],
  [
    'no sorted sets',
    '~* allchannels +@all -zadd',
    /may not run a command of the gateway's scripts \(NOPERM\); allow \+@/,
  ],
  [
    'no publishing',
    '~* allchannels +@all -publish',
    /may not run a command of the gateway's scripts/,
  ],
];

for (const [name, rights, reason] of RIGHTS)
  test(
    `a user with ${name}: ${reason === 'started' ? 'starts' : 'is refused, with the reason'}`,
    { skip: WITHOUT_OWN_REDIS },
    async t => {
      const { urlOf } = await startWithUser(t, rights);
      const refusal = await refusalOf(urlOf('gateway:s3cret'));
      if (reason === 'started') assert.equal(refusal, reason);
      else {
        assert.match(refusal, /^REDIS_URL: [^\n]+$/);
        assert.match(refusal, reason);
      }
      assert.ok(!refusal.includes('s3cret'));
    },
  );

test(
  'a wrong or missing password stops the start with a clear error, whatever REDIS_STARTUP is',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const { urlOf, redis } = await startWithUser(t, ALLOWED);
    for (const startup of ['continue', 'require'] as const) {
      assert.equal(
        await refusalOf(urlOf('gateway:wr0ng'), startup),
        'REDIS_URL: the user name or password is wrong (WRONGPASS)',
      );
      assert.match(await refusalOf(redis.url, startup), /requires a password.*\(NOAUTH\)/);
    }
  },
);

test(
  'a failed TLS handshake and a server that is not Redis stop the start',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const strict = createTlsServer().listen(0, '127.0.0.1');
    await once(strict, 'listening');
    t.after(() => strict.close());
    const { port: tlsPort } = strict.address() as AddressInfo;
    assert.match(
      await refusalOf(`rediss://127.0.0.1:${tlsPort}`),
      /^REDIS_URL: TLS failed \((ERR_SSL_|EPROTO)/,
    );
    const web = createServer(socket => {
      socket.on('error', () => {});
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    web.listen(0, '127.0.0.1');
    await once(web, 'listening');
    t.after(() => web.close());
    const { port } = web.address() as AddressInfo;
    assert.match(await refusalOf(`redis://127.0.0.1:${port}`), /is not Redis/);
  },
);

test(
  'while Redis is down an instance starts without it, or fails if Redis is required',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const url = `redis://127.0.0.1:${await freePort()}`;
    assert.equal(
      await refusalOf(url, 'require'),
      'REDIS_URL: nothing listens at the address (ECONNREFUSED)',
    );
    assert.equal(await refusalOf(url), 'started');
    const frozen = await startRedis(t);
    frozen.freeze();
    assert.match(await refusalOf(frozen.url, 'require'), /does not answer in time/);
    assert.equal(await refusalOf(frozen.url), 'started');
  },
);

test(
  'an instance that started without Redis joins when Redis comes, or logs why it cannot',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const redis = await startRedis(t);
    await redis.kill();
    const { log, lines } = createMemoryLog();
    const fleet = await openFleet(t, redis.url, LIMITS, { log });
    const group = fleet.openGroup<string>(randomUUID(), {
      receive: () => {},
      onReconnect: () => {},
    });
    const lease = group.openLease('tasks', () => {});
    assert.ok(lease.isHeld, 'without Redis it polls itself');
    await redis.start();
    await until(() => lines.some(line => line.startsWith('Redis is back')));
    assert.deepEqual(lines.slice(0, 1), [
      'Redis cannot be used; starting without it: nothing listens at the address (ECONNREFUSED)',
    ]);
    const admin = new Redis(redis.url);
    t.after(() => admin.disconnect());
    await until(() => lease.isHeld);
    assert.equal((await admin.keys('*:lease:tasks')).length, 1);

    // The user loses a right at run time. This is logged once, and the instance rejoins when the
    // right is back.
    await admin.call('ACL', 'SETUSER', 'default', '-zadd');
    await until(() => lines.some(line => line.includes('may not run a command')));
    await admin.call('ACL', 'SETUSER', 'default', '+zadd');
    await until(() => lines.filter(line => line.startsWith('Redis is back')).length === 2);
    assert.equal(
      lines.filter(line => line.includes('may not run a command')).length,
      1,
      lines.join('\n'),
    );
  },
);

const REPLIES: [message: string, reason: RegExp, isFinal: boolean][] = [
  ['LOADING Redis is loading the dataset in memory', /LOADING/, false],
  ['MOVED 8718 127.0.0.1:7001', /MOVED/, false],
  ['CLUSTERDOWN The cluster is down', /CLUSTERDOWN/, false],
  ["READONLY You can't write against a read only replica.", /replica.*READONLY/, false],
  [
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    /MASTERDOWN/,
    false,
  ],
  ["OOM command not allowed when used memory > 'maxmemory'.", /OOM/, false],
  ['MISCONF Redis is configured to save RDB snapshots', /MISCONF/, false],
  ['NOREPLICAS Not enough good replicas to write.', /NOREPLICAS/, false],
  ['ERR max number of clients reached', /maxclients/, false],
  ['Command timed out', /timeout/, false],
  ['connect ETIMEDOUT', /timeout/, false],
  ["ERR unknown command 'EVAL', with args beginning with: 'secret'", /'EVAL'/, true],
  ['ERR DB index is out of range', /database/, true],
];

for (const [message, reason, isFinal] of REPLIES)
  test(`the error is explained: ${message}`, () => {
    const fault = toRedisFault(new Error(message));
    assert.match(fault.reason, reason);
    assert.equal(fault.isFinal, isFinal);
    assert.ok(!fault.reason.includes('secret'));
  });

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigError, readConfig } from '../src/config.ts';

function faultsOf(env: Record<string, string>): readonly string[] {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.faults;
  }
}

test('without variables the gateway uses the sandbox and serves this machine only', () => {
  const config = readConfig({});
  assert.deepEqual(
    [config.baseUrl, config.authMode, config.host, config.port, config.apiVersion],
    [null, 'service', '127.0.0.1', 4_000, 'v1'],
  );
});

test("by default the callers' tokens are sent to the tenant", () => {
  const config = readConfig({ SAIL_BASE_URL: 'https://acme.api.identitynow.com' });
  assert.deepEqual(
    [config.authMode, config.baseUrl?.origin],
    ['passthrough', 'https://acme.api.identitynow.com'],
  );
});

test('a blank variable counts as not set', () => {
  assert.deepEqual(readConfig({ PORT: '', SAIL_BASE_URL: ' ' }), readConfig({}));
});

test('by default the sandbox has the oddities of live tenants', () => {
  assert.equal(readConfig({}).sandbox.oddities, true);
  assert.equal(readConfig({ SANDBOX_ODDITIES: 'false' }).sandbox.oddities, false);
  assert.deepEqual(faultsOf({ SANDBOX_ODDITIES: 'no' }), [
    'SANDBOX_ODDITIES: must be true or false',
  ]);
});

test('all faults are reported together, one line each, naming the variable', () => {
  const faults = faultsOf({
    PORT: '70000',
    UPSTREAM_API_VERSION: 'v9',
    SAIL_BASE_URL: 'ftp://x',
    UPSTREAM_RATE_LIMIT: '0',
    GRAPHIQL: 'yes',
    LOG_LEVEL: 'loud',
    ROUTER_SECRET: 'short',
    DIRECT_TRAFFIC: 'perhaps',
    MAX_COST: '0',
  });
  assert.deepEqual(faults.map(fault => fault.split(':', 1)[0]).sort(), [
    'DIRECT_TRAFFIC',
    'GRAPHIQL',
    'LOG_LEVEL',
    'MAX_COST',
    'PORT',
    'ROUTER_SECRET',
    'SAIL_BASE_URL',
    'UPSTREAM_API_VERSION',
    'UPSTREAM_RATE_LIMIT',
  ]);
  assert.ok(faults.every(fault => !fault.includes('\n')));
});

test('a REDIS_URL may name a cluster or sentinels, and an error about it does not repeat its password', () => {
  for (const url of [
    'redis://cache',
    'rediss://user:secret@cache:6380/1',
    'redis-cluster://a:1,b:2',
    'redis-sentinel://a,b/main',
  ])
    assert.equal(readConfig({ REDIS_URL: url }).redisUrl, url);
  assert.equal(readConfig({}).redisStartup, 'continue');
  assert.equal(
    readConfig({ REDIS_URL: 'redis://cache', REDIS_STARTUP: 'require' }).redisStartup,
    'require',
  );
  const faults = faultsOf({ REDIS_URL: 'http://:secret@cache', REDIS_STARTUP: 'wait' });
  assert.deepEqual(faults.map(fault => fault.split(':', 1)[0]).toSorted(), [
    'REDIS_STARTUP',
    'REDIS_URL',
  ]);
  assert.ok(faults.every(fault => !fault.includes('secret')));
});

test('the sandbox is served to other machines only if SANDBOX says so', () => {
  const jwt = { JWKS_URL: 'https://x.example/keys', JWT_ISSUER: 'i', JWT_AUDIENCE: 'a' };
  assert.match(faultsOf({ HOST: '0.0.0.0', ...jwt })[0] ?? '', /^SANDBOX: must be true/);
  assert.match(faultsOf({ HOST: '0.0.0.0', AUTH_MODE: 'passthrough' })[0] ?? '', /^SANDBOX/);
  assert.deepEqual(faultsOf({ HOST: '0.0.0.0', SANDBOX: 'true' }), []);
  assert.match(
    faultsOf({ SANDBOX: 'true', SAIL_BASE_URL: 'https://x.example' })[0] ?? '',
    /^SANDBOX: must not be true/,
  );
});

test('a secret may be in a file, without its line end', t => {
  const directory = mkdtempSync(join(tmpdir(), 'secrets-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const config = readConfig({
    SAIL_BASE_URL: 'https://x.example',
    SAIL_CLIENT_ID_FILE: file('id', 'the-client\n'),
    SAIL_CLIENT_SECRET_FILE: file('secret', '  the secret \r\n'),
    ROUTER_SECRET_FILE: file('router', 'sixteen or more of them\n'),
    REDIS_URL_FILE: file('redis', 'redis://:password@cache\n'),
  });
  assert.deepEqual(config.client, { id: 'the-client', secret: 'the secret' });
  assert.equal(config.router.secret, 'sixteen or more of them');
  assert.equal(config.redisUrl, 'redis://:password@cache');

  const faults = faultsOf({
    SAIL_CLIENT_SECRET_FILE: join(directory, 'none'),
    ROUTER_SECRET_FILE: file('empty', '\n'),
    REDIS_URL: 'redis://cache',
    REDIS_URL_FILE: join(directory, 'none'),
    HTTPS_PROXY_FILE: file('lines', 'http://one\nhttp://two\n'),
    SAIL_CLIENT_ID_FILE: file('utf-16', 'i\0d\0'),
  });
  assert.deepEqual(faults.toSorted(), [
    'HTTPS_PROXY_FILE: the file is not one line of UTF-8 text',
    'REDIS_URL_FILE: must not be set together with REDIS_URL',
    'ROUTER_SECRET_FILE: the file is empty',
    'SAIL_CLIENT_ID_FILE: the file is not one line of UTF-8 text',
    'SAIL_CLIENT_SECRET_FILE: the file cannot be read (ENOENT)',
  ]);
});

test('blanks and line ends around a value are ignored', () => {
  const config = readConfig({ SAIL_BASE_URL: ' https://x.example\n', PORT: '4100\r\n' });
  assert.deepEqual([config.baseUrl?.origin, config.port], ['https://x.example', 4_100]);
});

test('a name that is nearly one of the gateway stops the start, and says which was meant', () => {
  const typos: Record<string, string> = {
    SAIL_BASEURL: 'SAIL_BASE_URL',
    SAIL_BASE_URI: 'SAIL_BASE_URL',
    sail_base_url: 'SAIL_BASE_URL',
    'SAIL-CLIENT-ID': 'SAIL_CLIENT_ID',
    SAIL_CLIENTSECRET_FILE: 'SAIL_CLIENT_SECRET_FILE',
    MAX_STALENES_MS: 'MAX_STALENESS_MS',
    UPSTREAM_RATELIMIT: 'UPSTREAM_RATE_LIMIT',
    CORS_ORIGIN: 'CORS_ORIGINS',
    GRAPHQL: 'GRAPHIQL',
    REDIS_URI: 'REDIS_URL',
    LOGLEVEL: 'LOG_LEVEL',
    keepAliveTimeoutMs: 'KEEP_ALIVE_TIMEOUT_MS',
    // Two characters in the wrong order.
    REDIS_ULR: 'REDIS_URL',
    AUTH_MDOE: 'AUTH_MODE',
    // Without the unit, or with another one.
    SHUTDOWN_DELAY: 'SHUTDOWN_DELAY_MS',
    UPSTREAM_TIMEOUT_SECONDS: 'UPSTREAM_TIMEOUT_MS',
    max_staleness_s: 'MAX_STALENESS_MS',
    MAX_BODY: 'MAX_BODY_BYTES',
    'UPSTREAM.MAX.URL.BYTES': 'UPSTREAM_MAX_URL_BYTES',
    // What cannot be in a file.
    PERSISTED_DOCUMENTS_FILE: 'PERSISTED_DOCUMENTS',
    JWKS_URL_FILE: 'JWKS_URL',
  };
  for (const [typo, meant] of Object.entries(typos))
    assert.deepEqual(faultsOf({ [typo]: 'x' }), [
      `${typo}: there is no such variable; did you mean ${meant}?`,
    ]);
  assert.deepEqual(faultsOf({ SAIL_TENANT: 'acme' }), ['SAIL_TENANT: there is no such variable']);
});

test('variables of other programs do not stop the start', () => {
  const names = [
    'PATH HOME HOSTNAME USER SHELL PWD TERM LANG LOGNAME EDITOR TMPDIR',
    'PORTS HOSTS POST NODE_ENV NODE_OPTIONS NODE_EXTRA_CA_CERTS ALL_PROXY FTP_PROXY ftp_proxy RSYNC_PROXY',
    'REDIS_PORT REDIS_SERVICE_HOST REDIS_PORT_6379_TCP KUBERNETES_SERVICE_HOST JWT_SECRET',
    'npm_config_proxy npm_lifecycle_event OTEL_SERVICE_NAME GRAPHQL_PORT MAX_MEMORY LOG_FILE',
    'OTEL_EXPORTER_OTLP_LOGS_ENDPOINT OTEL_EXPORTER_OTLP_METRICS_PROTOCOL OTEL_LOGS_EXPORTER OTEL_TRACES_SAMPLER',
    'OTEL_EXPORTER_OTLP_TIMEOUT OTEL_EXPORTER_OTLP_TRACES_HEADERS METRICS_PATH REDIS_HOST REDIS_TLS_URL HOST_FILE',
  ];
  for (const name of names.join(' ').split(' '))
    assert.deepEqual(faultsOf({ [name]: '1' }), [], name);
});

test('a variable that would have no effect stops the start', () => {
  const tenant = { SAIL_BASE_URL: 'https://x.example' };
  const keys = 'https://keys.example/keys';
  const idle: [Record<string, string>, RegExp][] = [
    [{ ...tenant, SAIL_CLIENT_ID: 'x' }, /^SAIL_CLIENT_SECRET: must be set too/],
    [{ ...tenant, SAIL_CLIENT_SECRET: 'x' }, /^SAIL_CLIENT_ID: must be set too/],
    [{ SAIL_CLIENT_ID: 'x', SAIL_CLIENT_SECRET: 'y' }, /^SAIL_BASE_URL: must be set too/],
    [{ JWT_ISSUER: 'x' }, /^JWKS_URL: must be set if JWT_ISSUER is/],
    [{ JWT_AUDIENCE: 'x' }, /^JWKS_URL: must be set if JWT_AUDIENCE is/],
    [{ ...tenant, PASSTHROUGH_JWT_ISSUER: 'x' }, /^PASSTHROUGH_JWKS_URL: must be set if/],
    [{ ...tenant, PASSTHROUGH_JWT_AUDIENCE: 'x' }, /^PASSTHROUGH_JWKS_URL: must be set if/],
    [{ ...tenant, ROUTER_JWT_ISSUER: 'x' }, /^ROUTER_JWKS_URL: must be set if/],
    [{ ...tenant, ROUTER_JWT_AUDIENCE: 'x' }, /^ROUTER_JWKS_URL: must be set if/],
    [
      { ...tenant, JWKS_URL: keys, JWT_ISSUER: 'i', JWT_AUDIENCE: 'a' },
      /^JWKS_URL: is for AUTH_MODE=service.*PASSTHROUGH_JWKS_URL/,
    ],
    [{ AUTH_MODE: 'service', PASSTHROUGH_JWKS_URL: keys }, /^PASSTHROUGH_JWKS_URL: is for AUTH/],
    [{ ...tenant, REDIS_STARTUP: 'require' }, /^REDIS_STARTUP: can be require only if REDIS_URL/],
    [{ ...tenant, METRICS_PORT: '4000' }, /^METRICS_PORT: must differ from PORT/],
    [{ SUBSCRIPTION_CALLBACK_HOSTS: '*.example.com' }, /^SUBSCRIPTION_CALLBACK_HOSTS/],
  ];
  for (const [env, fault] of idle) {
    const faults = faultsOf(env);
    assert.equal(faults.length, 1, JSON.stringify(env));
    assert.match(faults[0] ?? '', fault);
  }
});

test('the sandbox starts beside the credentials of a client only by its own word', () => {
  const client = { SAIL_CLIENT_ID: 'x', SAIL_CLIENT_SECRET: 'y' };
  assert.equal(faultsOf(client).length, 1);
  assert.deepEqual(faultsOf({ ...client, SANDBOX: 'true' }), []);
});

test('the URL of the tenant has no part that would not be used', () => {
  const parts = ['user:password@x.example', 'user@x.example', 'x.example/?a=b', 'x.example/#a'];
  for (const part of parts) {
    const [fault = '', ...others] = faultsOf({ SAIL_BASE_URL: `https://${part}` });
    assert.match(fault, /^SAIL_BASE_URL: must have no user, password, query or fragment$/);
    assert.deepEqual(others, []);
  }
  for (const part of ['x.example', 'x.example/', 'x.example/path/'])
    assert.deepEqual(faultsOf({ SAIL_BASE_URL: `https://${part}` }), []);
});

test('the host to listen on is a name or an address', () => {
  const tenant = { SAIL_BASE_URL: 'https://x.example' };
  for (const host of ['127.0.0.1:4000', 'http://127.0.0.1', '*', '[::1', '[::1]:4000', 'a b'])
    assert.match(faultsOf({ ...tenant, HOST: host })[0] ?? '', /^HOST: must be/, host);
  for (const host of ['0.0.0.0', '::', '[::]', 'fe80::1%eth0', '[fe80::1%eth0]', 'my_host', 'a.b.'])
    assert.deepEqual(faultsOf({ ...tenant, HOST: host }), [], host);
});

test('a trusted proxy is an address or a network, and not a number of proxies', () => {
  for (const proxy of ['1', '127.1', '0x7f000001', '010.0.0.1', 'true', 'nginx', '10.0.0.0/33', ''])
    assert.match(faultsOf({ TRUST_PROXY: `loopback,${proxy}` })[0] ?? '', /^TRUST_PROXY/, proxy);
  const proxies = [
    '10.0.0.1',
    '10.0.0.0/8',
    '10.0.0.0/255.0.0.0',
    '::1',
    'fd00::/8',
    'uniquelocal',
  ];
  assert.deepEqual(readConfig({ TRUST_PROXY: proxies.join(', ') }).trustedProxies, proxies);
});

test('a value has one fault at most', () => {
  assert.deepEqual(faultsOf({ PORT: '99999999999999999999' }), [
    'PORT: must be a whole number from 0 to 65535',
  ]);
});

test('variables that need each other must be set together', () => {
  assert.match(
    faultsOf({ AUTH_MODE: 'service', SAIL_BASE_URL: 'https://x.example' })[0] ?? '',
    /^SAIL_CLIENT_ID/,
  );
  assert.match(faultsOf({ JWKS_URL: 'https://x.example/keys' })[0] ?? '', /^JWT_ISSUER/);
  assert.match(
    faultsOf({ ROUTER_JWKS_URL: 'https://x.example/keys' })[0] ?? '',
    /^ROUTER_JWT_ISSUER/,
  );
  assert.match(faultsOf({ DIRECT_TRAFFIC: 'refuse' })[0] ?? '', /^DIRECT_TRAFFIC/);
  assert.deepEqual(
    faultsOf({ DIRECT_TRAFFIC: 'refuse', ROUTER_SECRET: 'sixteen or more of them' }),
    [],
  );
});

test("the gateway's own credentials serve remote callers only if they present a JWT", () => {
  assert.match(faultsOf({ HOST: '0.0.0.0' })[0] ?? '', /^HOST: must be a loopback address/);
  assert.deepEqual(
    faultsOf({
      HOST: '0.0.0.0',
      SANDBOX: 'true',
      JWKS_URL: 'https://x.example/keys',
      JWT_ISSUER: 'i',
      JWT_AUDIENCE: 'a',
    }),
    [],
  );
  assert.deepEqual(faultsOf({ HOST: '0.0.0.0', SAIL_BASE_URL: 'https://x.example' }), []);
});

test('tokens are sent over the network only encrypted', () => {
  assert.match(
    faultsOf({ SAIL_BASE_URL: 'http://x.example' })[0] ?? '',
    /^SAIL_BASE_URL: must be https/,
  );
  assert.deepEqual(faultsOf({ SAIL_BASE_URL: 'http://127.0.0.1:4001' }), []);
});

test('by default GraphiQL and introspection are available on this machine only', () => {
  const open = { HOST: '0.0.0.0', SAIL_BASE_URL: 'https://x.example' };
  assert.deepEqual(
    [readConfig({}).graphiql, readConfig(open).graphiql, readConfig(open).introspection],
    [true, false, false],
  );
  // The board shows nothing that its caller's token does not.
  assert.deepEqual([readConfig(open).board, readConfig({ BOARD: 'false' }).board], [true, false]);
  assert.equal(readConfig({ ...open, GRAPHIQL: 'true' }).graphiql, true);
});

test('callback hosts must be plain host names', () => {
  const wrong = ['https://router.example.com', 'router.example.com/x', 'me@router', '', 'a b'];
  for (const host of wrong)
    assert.match(
      faultsOf({ SUBSCRIPTION_CALLBACK_HOSTS: `ok.example,${host}` })[0] ?? '',
      /^SUBSCRIPTION_CALLBACK_HOSTS/,
      host,
    );
  const hosts = 'router.example.com, 10.0.0.7:4000,localhost:80,router:443,[::1]:4000';
  assert.deepEqual(faultsOf({ SUBSCRIPTION_CALLBACK_HOSTS: hosts }), []);
});

test('proxies come from the environment, and lower-case names take precedence', () => {
  const { proxy } = readConfig({
    HTTP_PROXY: 'http://upper:3128',
    http_proxy: 'http://lower:3128',
    HTTPS_PROXY: 'http://user:password@proxy:3128',
    NO_PROXY: 'a.example.com',
    no_proxy: 'b.example.com',
  });
  assert.deepEqual(proxy, {
    httpProxy: 'http://lower:3128',
    httpsProxy: 'http://user:password@proxy:3128',
    noProxy: 'b.example.com',
  });
  assert.match(faultsOf({ HTTPS_PROXY: 'proxy:3128' })[0] ?? '', /^HTTPS_PROXY: must be/);
  assert.equal(readConfig({}).jwtClockToleranceSeconds, 5);
  assert.match(
    faultsOf({ JWT_CLOCK_TOLERANCE_SECONDS: '-1' })[0] ?? '',
    /^JWT_CLOCK_TOLERANCE_SECONDS: must be/,
  );
});

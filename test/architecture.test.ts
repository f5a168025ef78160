import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';

const SRC = join(import.meta.dirname, '../src');
const PACKAGE = JSON.parse(readFileSync(join(SRC, '../package.json'), 'utf8')) as {
  dependencies: Record<string, string>;
};

/**
 * The rank and purpose of each folder. Imports only point to lower ranks; equal ranks do not import
 * each other.
 */
const RANKS: Record<string, number> = {
  // Used everywhere: error codes, the clock, the log, proxy settings.
  'errors.ts': -1,
  'clock.ts': -1,
  'signal.ts': -1,
  // Bounds of memory that many share, and members that come and go.
  'byte-space.ts': -1,
  'bag.ts': -1,
  // Where the package is installed, and its version.
  'package-folder.ts': -1,
  'standard-output.ts': -3,
  'pretty-log.ts': -2,
  'log.ts': -1,
  // Figures for Prometheus, and how parts of the work are reported to a trace collector.
  'process-figures.ts': -2,
  'deferred-metrics.ts': -2,
  'metrics.ts': -1,
  'tracing.ts': -2,
  'otlp-tracer.ts': -1,
  // What one operation takes of upstream.
  'usage.ts': -1,
  'proxy.ts': -1,
  'process-log.ts': 0,
  'trace-log.ts': 0,
  // Counts how upstream's rows deviate from its specification.
  'drift.ts': 0,
  // The domain: tasks, filters, cursors, changes. Pure.
  task: 0,
  // What instances share: windows, groups, leases; local and over Redis.
  fleet: 1,
  // A tenant over HTTP, for tests and first steps.
  sandbox: 1,
  // Whether and when an upstream request is sent: budget, lanes, unproven tokens, breaker, retries,
  // deadlines.
  'upstream/admission': 1.5,
  // The REST API, typed: credentials, endpoints, queries, walks over lists, rows.
  upstream: 2,
  // Watches, mailboxes, and the pollers of tasks and lists.
  progress: 2,
  // The state of one credential: loader, lists, memory, paging. Credentials share nothing.
  session: 3,
  // Executes operations with cached plans.
  'graphql/execution': 3.5,
  // The schema: one file per type, then the root fields.
  graphql: 4,
  // Who may call: tokens, the router, hosts and origins; limits on connections; which errors
  // callers may see.
  'http/access': 4.2,
  // What is noted of requests and operations: ids, log lines, metrics.
  'http/observation': 4.3,
  // One plugin of the GraphQL server per file.
  'http/plugins': 4.5,
  // The context of an operation, and the execution of queries that are known.
  'http/operations': 4.6,
  // WebSocket, SSE in both modes, multipart, HTTP callback; ending all streams at a shutdown.
  'http/transports': 4.7,
  // GraphiQL.
  'http/pages': 4.5,
  // Routes and sockets of one port, and the GraphQL server with its plugins in request order.
  http: 5,
  // Reads and checks the environment.
  config: 4.9,
  'config.ts': 5,
  // Whether the gateway can serve, and why not.
  'readiness.ts': 5,
  // All access to the tenant: sessions, the gateway's own credential, budgets and breakers.
  'tenant.ts': 5.5,
  // Builds every part and closes them in reverse.
  'gateway.ts': 6,
  // Checks a tenant, Redis and the configuration.
  'check.ts': 6.5,
  // What the program does: serves, checks, or prints the schema.
  'commands.ts': 6.8,
  // The command line; the only file that reads arguments and the environment, or exits.
  'main.ts': 7,
};

/** Where a library may be imported. */
const HOMES: Record<string, string[]> = {
  '@pothos/core': ['graphql'],
  '@envelop/on-resolve': ['http/plugins/federated-tracing.ts'],
  '@pothos/plugin-directives': ['graphql/builder.ts'],
  '@graphql-tools/utils': ['graphql/execution/plan.ts', 'graphql/sdl.ts', 'graphql/selection.ts'],
  'graphql-scalars': ['graphql/builder.ts'],
  graphql: ['graphql', 'http'],
  'graphql-yoga': ['http'],
  'graphql-ws': ['http'],
  ws: ['http'],
  dataloader: ['session/joined-counts.ts', 'session/source-pages.ts'],
  zod: ['config', 'upstream/wire.ts'],
  undici: [
    'proxy.ts',
    'gateway.ts',
    'tenant.ts',
    'upstream/attempt.ts',
    'http/transports/callback-sender.ts',
  ],
  cockatiel: ['http/transports/callback-sender.ts'],
  ioredis: ['fleet/redis-session.ts'],
  'lru-cache': [
    'graphql/affordable-operations.ts',
    'graphql/execution/execute.ts',
    'session/bound-search.ts',
    'session/memory-store.ts',
    'session/memory.ts',
    'upstream/admission/proof.ts',
    'http/access/authenticate.ts',
    'http/access/parse-allowance.ts',
    'http/access/persisted-documents.ts',
    'http/plugins/documents.ts',
  ],
  'proxy-addr': ['http/access/client-address.ts'],
  jose: ['upstream/credentials.ts', 'http/access/token-verifier.ts', 'sandbox/clients.ts'],
  pino: ['log.ts', 'standard-output.ts'],
  '@opentelemetry/api': ['otlp-tracer.ts'],
  '@opentelemetry/exporter-trace-otlp-http': ['otlp-tracer.ts'],
  '@opentelemetry/resources': ['otlp-tracer.ts'],
  '@opentelemetry/sdk-trace-node': ['otlp-tracer.ts'],
  'prom-client': ['metrics.ts', 'deferred-metrics.ts', 'process-figures.ts'],
};

interface Import {
  from: string;
  to: string;
}

// What browsers load shares nothing with the gateway, and is bundled with libraries of its own.
const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter(
  file => file.endsWith('.ts') && !file.startsWith('browser/'),
);
const imports = files.flatMap(importsOf);
const local = imports
  .filter(({ to }) => to.startsWith('.'))
  .map(({ from, to }) => ({ from, to: join(dirname(from), to) }));
const foreign = imports
  .filter(
    ({ to }) => !to.startsWith('.') && !to.startsWith('node:') && !builtinModules.includes(to),
  )
  .map(({ from, to }) => ({ from, library: to.split('/', to.startsWith('@') ? 2 : 1).join('/') }));

test('every file is in a folder with a rank', () => {
  assert.ok(files.length > 30);
  assert.deepEqual(
    files.filter(file => RANKS[folderOf(file)] === undefined),
    [],
  );
});

test('imports point downwards only', () => {
  const wrong = local.filter(
    ({ from, to }) => folderOf(from) !== folderOf(to) && rankOf(to) >= rankOf(from),
  );
  assert.deepEqual(wrong, []);
});

test('the sandbox shares no code with the client side except the clock', () => {
  const shared = local.filter(
    ({ from, to }) => folderOf(from) === 'sandbox' && folderOf(to) !== 'sandbox',
  );
  assert.deepEqual(
    [...new Set(shared.map(({ to }) => to))].filter(to => to !== 'clock.ts'),
    [],
  );
});

test('no imports form a cycle', () => {
  const done = new Set<string>();
  for (const file of files) visit(file, []);

  function visit(file: string, trail: string[]): void {
    assert.ok(!trail.includes(file), `a cycle: ${[...trail, file].join(' → ')}`);
    if (done.has(file)) return;
    for (const { to } of local.filter(({ from }) => from === file)) visit(to, [...trail, file]);
    done.add(file);
  }
});

test('each library is imported only at its home, and each dependency is imported', () => {
  const strays = foreign.filter(
    ({ from, library }) =>
      !HOMES[library]?.some(home => from === home || from.startsWith(`${home}/`)),
  );
  assert.deepEqual(strays, []);
  const used = new Set(foreign.map(({ library }) => library));
  assert.deepEqual(
    Object.keys(PACKAGE.dependencies).filter(name => !used.has(name)),
    [],
  );
});

test('only main reads the environment, the arguments, or exits', () => {
  const offenders = files.filter(file =>
    /process\.(env\b(?!:)|argv|exit)/.test(readFileSync(join(SRC, file), 'utf8')),
  );
  assert.deepEqual(offenders, ['main.ts']);
});

function importsOf(file: string): Import[] {
  const text = readFileSync(join(SRC, file), 'utf8');
  const lines = text.matchAll(/^(?:import|export)\s(?:[^'"]*?\sfrom\s)?\s*['"]([^'"]+)['"]/gms);
  const dynamic = text.matchAll(/\bimport\('([^']+)'\)/g);
  return [...lines, ...dynamic].map(([, to = '']) => ({ from: relative('.', file), to }));
}

/** The folder of a file: the inner folder if that has a rank of its own. */
function folderOf(file: string): string {
  const [outer = '', inner = ''] = file.split('/');
  return RANKS[`${outer}/${inner}`] === undefined ? outer : `${outer}/${inner}`;
}

function rankOf(file: string): number {
  return RANKS[folderOf(file)] ?? Number.NaN;
}

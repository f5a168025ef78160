import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, after, test } from 'node:test';
import { ERROR_CODES } from '../../src/errors.ts';
import { createMetrics } from '../../src/metrics.ts';
import { type Scrape, scrape, sumOf } from '../support/exposition.ts';
import { WITHOUT_OWN_REDIS, startRedis } from '../support/redis.ts';
import { type StartOptions, startGateway, startSandbox } from '../support/start.ts';
import { subscribe } from '../support/subscribe.ts';

const ID_QUERY = 'query ($id: ID!) { taskStatus(id: $id) { id } }';
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { state } }';
const OWN = 'task_status_gateway_';
const DOCUMENTED = [...read('docs/metrics.md').matchAll(/^\| `(\w+)` \|/gm)].map(
  ([, name = '']) => name,
);

/** What any test of this file has seen: the labels of each metric, and the values of each label. */
const seen = new Map<string, Map<string, Set<string>>>();
/** Metrics that a test has seen move. */
const moved = new Set<string>();

function read(file: string): string {
  return readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
}

async function start(t: TestContext, options: StartOptions = {}) {
  const metrics = createMetrics({ process: true });
  const running = await startGateway(t, { ...options, metrics });
  const look = async () => remember(await scrape(running.gateway.metricsUrl));
  return { ...running, look };
}

function remember(seenNow: Scrape): Scrape {
  for (const { name, labels } of seenNow.samples) {
    const known = seen.get(name) ?? new Map<string, Set<string>>();
    seen.set(name, known);
    for (const [label, value] of Object.entries(labels))
      known.set(label, (known.get(label) ?? new Set()).add(value));
  }
  return seenNow;
}

/**
 * Looks until every one of these metrics differs from before. `labels`: of the series that must
 * move.
 */
async function untilMoved(
  look: () => Promise<Scrape>,
  before: Scrape,
  names: readonly string[],
  labels: Readonly<Record<string, string>> = {},
): Promise<Scrape> {
  for (;;) {
    const now = await look();
    const isMoved = (name: string) => sumOf(now, name, labels) !== sumOf(before, name, labels);
    if (!names.every(isMoved)) continue;
    for (const name of names) moved.add(name);
    return now;
  }
}

async function untilSum(
  look: () => Promise<Scrape>,
  name: string,
  sum: number,
  labels: Record<string, string> = {},
): Promise<Scrape> {
  let now = await look();
  while (sumOf(now, name, labels) !== sum) now = await look();
  return now;
}

test('a query moves its own metrics and those of upstream', async t => {
  const { look, query, tenant } = await start(t, { env: { UPSTREAM_RATE_LIMIT: '100' } });
  const before = await look();
  const id = tenant.addTask();
  await query(ID_QUERY, { id });
  const now = await untilMoved(look, before, [
    `${OWN}operations_total`,
    `${OWN}operation_duration_seconds`,
    `${OWN}upstream_requests_total`,
    `${OWN}upstream_request_duration_seconds`,
    `${OWN}budget_used_ratio`,
    `${OWN}budget_wait_seconds`,
    `${OWN}batch_tasks`,
    `${OWN}sessions`,
  ]);
  const ok = { type: 'query', transport: 'http', outcome: 'OK' };
  assert.equal(sumOf(now, `${OWN}operations_total`, ok), 1);
  const list = { endpoint: 'list', status: '200', lane: 'interactive' };
  assert.equal(sumOf(now, `${OWN}upstream_requests_total`, list), 1);
  const token = { endpoint: 'token', status: '200', lane: 'token' };
  assert.equal(sumOf(now, `${OWN}upstream_requests_total`, token), 1);
});

test('an operation that fails counts under the code of its error', async t => {
  const { look, query } = await start(t);
  await query('{ nothing }');
  const failed = { outcome: 'BAD_USER_INPUT', type: 'query' };
  assert.equal(sumOf(await look(), `${OWN}operations_total`, failed), 1);
});

test('each of many operations is counted, with its duration', async t => {
  const { look, query } = await start(t);
  // More than are observed at a time.
  const operations = 1_001;
  for (let asked = 0; asked < operations; asked++) await query('{ __typename }');
  const now = await look();
  const queries = { type: 'query' };
  for (const name of ['operations_total', 'operation_duration_seconds_count'])
    assert.equal(sumOf(now, OWN + name, queries), operations);
  await query('{ __typename }');
  const counted = sumOf(await look(), `${OWN}operation_duration_seconds_count`, queries);
  assert.equal(counted, operations + 1);
});

test('an answer from memory is a hit, and costs upstream nothing', async t => {
  const { look, query, tenant } = await start(t, { env: { MAX_STALENESS_MS: '60000' } });
  const id = tenant.addTask();
  const before = await look();
  for (const alias of ['a', 'b', 'c'])
    await query(`query ($id: ID!) { ${alias}: taskStatus(id: $id) { id } }`, { id });
  await query('{ taskStatuses { nodes { id } } }');
  const now = await untilMoved(look, before, [
    `${OWN}memory_lookups_total`,
    `${OWN}memory_entries`,
    `${OWN}memory_bytes`,
  ]);
  const lookups = (kind: string, result: string) =>
    sumOf(now, `${OWN}memory_lookups_total`, { kind, result });
  assert.deepEqual(
    [lookups('task', 'miss'), lookups('task', 'hit'), lookups('list', 'miss')],
    [1, 2, 1],
  );
  assert.equal(sumOf(now, `${OWN}upstream_requests_total`, { lane: 'interactive' }), 2);
  await query('{ taskStatuses { nodes { id } } }');
  await untilSum(look, `${OWN}memory_lookups_total`, 1, { kind: 'response', result: 'hit' });
});

test('a subscription moves streams, watches and polls, and an event its age; they go back when it ends', async t => {
  const { look, url, tenant } = await start(t);
  const id = tenant.addTask();
  const before = await look();
  for (const transport of ['sse', 'ws', 'single-connection sse'] as const) {
    const events = subscribe(t, transport, url, PROGRESS, { id });
    await events.next();
  }
  const list = subscribe(t, 'ws', url, 'subscription { taskStatusChanged { kind } }');
  const firstOfList = list.next();
  await untilMoved(look, before, [
    `${OWN}streams`,
    `${OWN}watches`,
    `${OWN}subscribers`,
    `${OWN}polls_total`,
    `${OWN}poll_duration_seconds`,
    `${OWN}events_total`,
  ]);
  const during = await untilSum(look, `${OWN}subscribers`, 4);
  assert.equal(sumOf(during, `${OWN}streams`), 4);
  assert.equal(sumOf(during, `${OWN}streams`, { transport: 'websocket' }), 2);
  assert.deepEqual(
    [
      sumOf(during, `${OWN}watches`, { kind: 'task' }),
      sumOf(during, `${OWN}watches`, { kind: 'list' }),
    ],
    [1, 1],
  );
  await untilMoved(look, during, [`${OWN}polls_total`], { kind: 'list', outcome: 'ok' });

  tenant.finish(id);
  await firstOfList;
  await untilMoved(look, during, [`${OWN}event_age_seconds`]);
  await list.return?.();
  const now = await untilSum(look, `${OWN}streams`, 0);
  assert.equal(sumOf(now, `${OWN}subscribers`), 0);
  assert.equal(sumOf(now, `${OWN}operations_total`, { type: 'subscription', outcome: 'OK' }), 4);
});

test('what alerts wait for is 0 before it happens, because Prometheus sees no increase from nothing to 1', async t => {
  const { look } = await start(t);
  const { samples } = await look();
  for (const [name, labels] of [
    ['polls_total', { kind: 'tasks', outcome: 'failed' }],
    ['polls_total', { kind: 'list', outcome: 'failed' }],
    ['budget_refusals_total', { lane: 'interactive' }],
    ['budget_pauses_total', {}],
    ['breaker_changes_total', { to: 'open' }],
  ] as const)
    assert.deepEqual(
      samples
        .filter(sample => sample.name === OWN + name)
        .filter(sample =>
          Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
        )
        .map(({ value }) => value),
      [0],
      name,
    );
});

test('a failed poll counts', async t => {
  const { look, url, tenant, sandbox } = await start(t);
  const events = subscribe(t, 'sse', url, PROGRESS, { id: tenant.addTask() });
  await events.next();
  sandbox.faults.order({ fault: { kind: 'status', status: 400 } });
  await untilMoved(look, await look(), [`${OWN}polls_total`], { kind: 'tasks', outcome: 'failed' });
});

test('a 429 pauses the budget, and what waits and what is refused is counted', async t => {
  const { look, query, sandbox } = await start(t);
  await query('{ taskStatuses { nodes { id } } }');
  const before = await look();
  sandbox.faults.order({ fault: { kind: 'status', status: 429, retryAfter: '20' }, times: 1 });
  const waiting = query('{ taskStatuses { nodes { id } } }').catch(() => null);
  await untilMoved(look, before, [
    `${OWN}budget_pauses_total`,
    `${OWN}budget_paused_seconds`,
    `${OWN}budget_waiting`,
  ]);
  t.after(() => waiting);
});

test('a request that would wait too long is refused and counted', async t => {
  const { look, query, sandbox } = await start(t);
  const before = await look();
  sandbox.faults.order({ fault: { kind: 'status', status: 429, retryAfter: '120' }, times: 1 });
  await query('{ taskStatuses { nodes { id } } }');
  await untilMoved(look, before, [`${OWN}budget_refusals_total`], { lane: 'interactive' });
});

test('a circuit breaker that opens and closes counts', async t => {
  const { look, query, sandbox } = await start(t, { env: { OPERATION_TIMEOUT_MS: '500' } });
  const before = await look();
  sandbox.faults.order({ fault: { kind: 'drop' } });
  let isOpen = false;
  while (!isOpen) {
    await query('{ taskStatuses { nodes { id } } }');
    isOpen = sumOf(await look(), `${OWN}breaker_changes_total`, { to: 'open' }) > 0;
  }
  sandbox.faults.clear();
  let isClosed = false;
  while (!isClosed) {
    await query('{ taskStatuses { nodes { id } } }');
    isClosed = sumOf(await look(), `${OWN}breaker_changes_total`, { to: 'closed' }) > 0;
  }
  await untilMoved(look, before, [`${OWN}breaker_changes_total`]);
});

test('a row that differs from the specification counts as drift', async t => {
  const { look, query, tenant, sandbox } = await start(t);
  tenant.addTasks(3);
  const before = await look();
  sandbox.faults.order({ fault: { kind: 'row', mutation: 'type-new', all: true } });
  await query('{ taskStatuses { nodes { id } } }');
  await untilMoved(look, before, [`${OWN}drift_total`]);
});

test('whether the gateway has a token is known once it has asked for one', async t => {
  for (const [secret, value] of [
    ['wrong', 0],
    [undefined, 1],
  ] as const) {
    const env: Record<string, string> = {};
    if (secret !== undefined) env['SAIL_CLIENT_SECRET'] = secret;
    const { look, query } = await start(t, { env });
    const before = await look();
    const valid = ({ samples }: Scrape) =>
      samples.filter(({ name }) => name === `${OWN}token_valid`).map(sample => sample.value);
    assert.deepEqual(valid(before), []);
    await query('{ taskStatuses { nodes { id } } }');
    assert.deepEqual(valid(await look()), [value]);
    if (value === 1) await untilMoved(look, before, [`${OWN}token_valid`]);
  }
});

test('Redis, its instances and the lease are counted', { skip: WITHOUT_OWN_REDIS }, async t => {
  const redis = await startRedis(t);
  const sandbox = await startSandbox(t);
  const options = { over: sandbox, env: { REDIS_URL: redis.url } };
  const { look, url } = await start(t, options);
  const alone = await look();
  assert.equal(sumOf(alone, `${OWN}redis_connected`), 1);
  await startGateway(t, options);
  const events = subscribe(t, 'sse', url, PROGRESS, { id: sandbox.tenant.addTask() });
  await events.next();
  await untilMoved(look, alone, [`${OWN}redis_instances`, `${OWN}leases_held`]);
  await redis.kill();
  await untilMoved(look, alone, [`${OWN}redis_connected`]);
});

test('without Redis there are no metrics of it', async t => {
  const { look } = await start(t);
  const names = (await look()).samples.map(({ name }) => name);
  assert.deepEqual(
    names.filter(name => /redis|lease/.test(name)),
    [],
  );
});

test('the figures of the process move', async t => {
  const { look, url, tenant } = await start(t);
  const before = await look();
  const startedAt = sumOf(before, 'process_start_time_seconds');
  assert.ok(Math.abs(Date.now() / 1000 - process.uptime() - startedAt) < 5);
  moved.add('process_start_time_seconds');
  // The event loop is blocked for longer than any scrape takes.
  const until100 = performance.now() + 100;
  while (performance.now() < until100);
  void subscribe(t, 'sse', url, PROGRESS, { id: tenant.addTask() }).next();
  const now = await untilMoved(look, before, [
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'nodejs_heap_size_used_bytes',
    'nodejs_active_resources',
    'nodejs_eventloop_lag_mean_seconds',
    'nodejs_eventloop_lag_p99_seconds',
    'nodejs_eventloop_lag_max_seconds',
  ]);
  assert.ok(sumOf(now, 'nodejs_eventloop_lag_max_seconds') < 60);
});

test('METRICS_PORT serves the metrics there, and nothing else; the port of callers has them no more', async t => {
  const { gateway, url } = await start(t, { env: { METRICS_PORT: '0' } });
  assert.notEqual(new URL(gateway.metricsUrl).port, new URL(url).port);
  assert.ok((await scrape(gateway.metricsUrl)).samples.length > 0);
  assert.equal((await fetch(new URL('/metrics', url))).status, 404);
  assert.equal((await fetch(new URL('/graphql', gateway.metricsUrl))).status, 404);
});

test('no label holds what a caller sends', async t => {
  const { gateway, query } = await start(t);
  await query(
    'query SECRET_NAME { taskStatus(id: "SECRET-ID") { id } }',
    {},
    { 'x-request-id': 'SECRET' },
  );
  const text = await (await fetch(gateway.metricsUrl)).text();
  assert.ok(!text.includes('SECRET'));
});

test('docs/metrics.md names every metric that there is, and each one has moved in a test', () => {
  assert.ok(DOCUMENTED.length > 30);
  const families = [...seen.keys()].map(name => name.replace(/_(bucket|sum|count)$/, ''));
  assert.deepEqual([...new Set(families)].toSorted(), DOCUMENTED.toSorted());
  assert.deepEqual([...moved].toSorted(), DOCUMENTED.toSorted());
});

test('docs/metrics.md names the labels that each metric has', () => {
  for (const [, name = '', labels = ''] of read('docs/metrics.md').matchAll(
    /^\| `(\w+)` \|([^|]*)\|/gm,
  )) {
    const documented = [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label);
    const found = seen.get(name) ?? seen.get(`${name}_count`);
    assert.deepEqual([...(found?.keys() ?? [])].toSorted(), documented.toSorted(), name);
  }
});

/** Every value that a label can have, of those that no test above brings about. */
const POSSIBLE: Readonly<Record<string, readonly string[]>> = {
  outcome: ERROR_CODES,
  status: ['unreachable', 'timeout', 'broken', '401', '403', '500', '503'],
};

test('every query of the dashboard and the alerts asks for a metric, labels and values that there are', () => {
  const dashboard = JSON.parse(read('deploy/grafana/dashboard.json')) as {
    panels: { targets?: { expr: string; legendFormat: string }[] }[];
  };
  const targets = dashboard.panels.flatMap(({ targets = [] }) => targets);
  const alerts = alertQueries(read('deploy/prometheus/alerts.yaml'));
  assert.ok(targets.length > 40 && alerts.length > 10);
  for (const expr of [...targets.map(({ expr }) => expr), ...alerts]) checkQuery(expr);
  for (const { expr, legendFormat } of targets)
    for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
      assert.ok(
        expr.includes(`(${label}`) || expr.includes(`, ${label}`) || !expr.includes(' by ('),
        legendFormat,
      );
});

/** The expressions of a rule file: on the line of `expr:`, or indented below it. */
function alertQueries(yaml: string): string[] {
  return [...yaml.matchAll(/^ {8}expr: (?:\|\n((?: {10}.*\n)+)|(.*)\n)/gm)].map(
    ([, block, line]) => block ?? line ?? '',
  );
}

function checkQuery(expr: string): void {
  const selectors = [
    ...expr.matchAll(/\b((?:task_status_gateway|process|nodejs)_\w+)(\{[^}]*\})?/g),
  ];
  assert.ok(selectors.length > 0, expr);
  const labels = new Set(['instance', 'job', 'le']);
  for (const [, name = '', matchers = ''] of selectors) {
    const known = seen.get(name);
    assert.ok(known, `${name} in ${expr}`);
    for (const label of known.keys()) labels.add(label);
    for (const [, label = '', operator, value = ''] of matchers.matchAll(
      /(\w+)(=~|!~|!=|=)"([^"]*)"/g,
    )) {
      if (label === 'instance') continue;
      const values = [...(known.get(label) ?? []), ...(POSSIBLE[label] ?? [])];
      assert.ok(known.has(label), `${label} of ${name} in ${expr}`);
      const alternatives = operator?.includes('~') ? value.split('|') : [value];
      for (const alternative of alternatives)
        assert.ok(
          values.some(one => new RegExp(`^(?:${alternative})$`).test(one)),
          `${label}=${alternative} in ${expr}`,
        );
    }
  }
  for (const [, group = ''] of expr.matchAll(/ by \(([^)]*)\)/g))
    for (const label of group.split(', ')) assert.ok(labels.has(label), `by ${label} in ${expr}`);
}

after(() => seen.clear());

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

// The alert rules, evaluated by Prometheus over series that a test writes down. That the metrics
// have these names and labels is checked in metrics.test.ts.

const RULES = new URL('../../deploy/prometheus/alerts.yaml', import.meta.url).pathname;
/** CI has Prometheus, and skips nothing. */
const WITHOUT_PROMETHEUS =
  spawnSync('promtool', ['--version']).status === 0
    ? false
    : 'SKIPPED: there is no Prometheus on this machine';

/**
 * What Prometheus has scraped four times a minute, in its notation: `1+2x3` is 1, 3, 5, 7, and
 * `_x8` nothing, 8 times.
 */
type Series = Readonly<Record<string, string>>;

interface Situation {
  what: string;
  series: Series;
  /** How long it lasts, in minutes. */
  minutes: number;
  /** The alerts that fire then, without their common prefix. */
  fires: readonly string[];
}

const WORKING: Series = {
  'upstream_requests_total{endpoint="list",status="200",lane="task-poll"}': '0+10x200',
  'polls_total{kind="tasks",outcome="ok"}': '0+15x200',
  'polls_total{kind="tasks",outcome="failed"}': '0x200',
  'budget_refusals_total{lane="interactive"}': '0x200',
  'operations_total{type="query",transport="http",outcome="OK"}': '0+100x200',
  'watches{kind="task"}': '50x200',
  'watches{kind="list"}': '0x200',
  'breaker_changes_total{to="open"}': '0x200',
  budget_used_ratio: '0.5x200',
  budget_paused_seconds: '0x200',
  token_valid: '1x200',
  redis_connected: '1x200',
};

const SITUATIONS: readonly Situation[] = [
  { what: 'all is well', series: {}, minutes: 30, fires: [] },
  {
    what: 'nobody watches anything',
    series: {
      'watches{kind="task"}': '0x200',
      'polls_total{kind="tasks",outcome="ok"}': '0x200',
    },
    minutes: 30,
    fires: [],
  },
  {
    what: 'the gateway has failed once, because of a bug',
    series: {
      'operations_total{type="query",transport="http",outcome="INTERNAL_SERVER_ERROR"}':
        '_x40 1x160',
    },
    minutes: 11,
    fires: ['Errors'],
  },
  {
    what: 'the gateway has failed once more than before',
    series: {
      'operations_total{type="query",transport="http",outcome="INTERNAL_SERVER_ERROR"}':
        '3x40 4x160',
    },
    minutes: 11,
    fires: ['Errors'],
  },
  {
    what: 'the last failure is an hour ago',
    series: {
      'operations_total{type="query",transport="http",outcome="INTERNAL_SERVER_ERROR"}': '3x300',
    },
    minutes: 70,
    fires: [],
  },
  {
    what: 'one poll has failed',
    series: { 'polls_total{kind="tasks",outcome="failed"}': '0x40 1x160' },
    minutes: 13,
    fires: [],
  },
  {
    what: 'all polls fail',
    series: {
      'polls_total{kind="tasks",outcome="ok"}': '0+15x40 600x160',
      'polls_total{kind="tasks",outcome="failed"}': '0x40 1+1x160',
    },
    minutes: 15,
    fires: ['PollsFail'],
  },
  {
    what: 'nothing is polled any more',
    series: { 'polls_total{kind="tasks",outcome="ok"}': '0+15x40 600x160' },
    minutes: 25,
    fires: ['PollsStopped'],
  },
  {
    what: 'readers are refused, for the first time since the start',
    series: { 'budget_refusals_total{lane="interactive"}': '0x40 1+5x160' },
    minutes: 17,
    fires: ['ReadersRefused'],
  },
  {
    what: 'upstream is dead',
    series: {
      'upstream_requests_total{endpoint="list",status="200",lane="task-poll"}': '0+10x40 400x160',
      'upstream_requests_total{endpoint="list",status="unreachable",lane="task-poll"}':
        '_x40 0+3x160',
      'polls_total{kind="tasks",outcome="ok"}': '0+15x40 600x160',
      'polls_total{kind="tasks",outcome="failed"}': '0x40 1+1x160',
      'breaker_changes_total{to="open"}': '0x40 1x160',
    },
    minutes: 14,
    fires: ['BreakerOpened', 'PollsFail', 'UpstreamUnreachable'],
  },
  {
    what: 'the secret is wrong',
    series: { token_valid: '1x20 0x180' },
    minutes: 6,
    fires: ['TokenRefused'],
  },
  {
    what: 'Redis is gone',
    series: { redis_connected: '1x20 0x180' },
    minutes: 7,
    fires: ['RedisLost'],
  },
  {
    what: 'the budget is spent, and upstream asks for a long pause',
    series: { budget_used_ratio: '1x200', budget_paused_seconds: '60x200' },
    minutes: 12,
    fires: ['BudgetSpent', 'Paused'],
  },
  {
    what: 'upstream sends a new value',
    series: { 'drift_total{field="type",found="unknown value"}': '_x40 1x160' },
    minutes: 12,
    fires: ['Drift'],
  },
  {
    what: 'queries are slow, events are late, and the process is busy',
    series: {
      'operation_duration_seconds_bucket{type="query",le="5"}': '0x200',
      'operation_duration_seconds_bucket{type="query",le="10"}': '0+10x200',
      'operation_duration_seconds_bucket{type="query",le="+Inf"}': '0+10x200',
      'event_age_seconds_bucket{le="5"}': '0x200',
      'event_age_seconds_bucket{le="10"}': '0+10x200',
      'event_age_seconds_bucket{le="+Inf"}': '0+10x200',
      nodejs_eventloop_lag_p99_seconds: '0.8x200',
    },
    minutes: 20,
    fires: ['EventLoopBlocked', 'EventsLate', 'Slow'],
  },
];

for (const situation of SITUATIONS)
  test(
    `alerts when ${situation.what}: ${situation.fires.join(', ') || 'none'}`,
    {
      skip: WITHOUT_PROMETHEUS,
    },
    () => checkFiring(situation),
  );

test('each alert fires in one of these situations', () => {
  const names = [...readFileSync(RULES, 'utf8').matchAll(/- alert: TaskStatusGateway(\w+)/g)];
  assert.deepEqual(
    names.map(([, name]) => name).toSorted(),
    [...new Set(SITUATIONS.flatMap(({ fires }) => fires))].toSorted(),
  );
});

function checkFiring({ series, minutes, fires }: Situation): void {
  const folder = mkdtempSync(join(tmpdir(), 'alerts-'));
  const file = join(folder, 'test.yaml');
  const all = Object.entries({ ...WORKING, ...series });
  const exp_samples = fires.map(name => ({
    labels: `{alertname="TaskStatusGateway${name}"}`,
    value: 1,
  }));
  const expr = 'sum by (alertname) (ALERTS{alertstate="firing"})';
  const promql_expr_test = [{ expr, eval_time: `${minutes}m`, exp_samples }];
  const input_series = all.map(([name, values]) => ({ series: withInstance(name), values }));
  const tests = [{ interval: '15s', input_series, promql_expr_test }];
  // JSON is YAML.
  writeFileSync(file, JSON.stringify({ rule_files: [RULES], evaluation_interval: '15s', tests }));
  const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', file], {
    encoding: 'utf8',
  });
  rmSync(folder, { recursive: true, force: true });
  assert.equal(status, 0, `${stdout}${stderr}`.replaceAll('\\"', '"'));
}

/** The name of a series, with the labels that Prometheus adds. */
function withInstance(series: string): string {
  const [, name = '', labels = ''] = /^(\w+)(?:\{(.*)\})?$/.exec(series) ?? [];
  const whole = name.startsWith('nodejs_') ? name : `task_status_gateway_${name}`;
  return `${whole}{job="gateway",instance="a"${labels && `,${labels}`}}`;
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { createClient } from 'graphql-sse';
import { firstLine } from '../test/support/process.ts';
import { freePort, startRedis } from '../test/support/redis.ts';
import { environmentOver, postGraphQL } from '../test/support/start.ts';
import { startTenant } from './tenant.ts';

// What the dashboard and the alert rules show of two instances over Redis in each of some troubles.
// A real Prometheus (Debian's package) scrapes them and evaluates every query of the dashboard.
// `npm run build` comes first.
const TASKS = 200;
const SUBSCRIBERS = 100;
const STAGE_MS = Number(process.env['STAGE_MS'] ?? 75_000);
const RATE_INTERVAL = '15s';
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id state percentComplete } }';

interface Panel {
  title: string;
  targets: { expr: string; legendFormat: string }[];
}

const afterwards: (() => unknown)[] = [];
const context = { after: (run?: unknown) => void afterwards.unshift(run as () => unknown) };
const folder = mkdtempSync(join(tmpdir(), 'dashboard-'));
context.after(() => rmSync(folder, { recursive: true, force: true }));

const { sandbox, ids } = await startTenant(TASKS, { rateLimit: 100, rateWindowMs: 10_000 });
const redis = await startRedis(context as never);
const env = { ...environmentOver(sandbox), REDIS_URL: redis.url };
const [first, second] = await Promise.all([startInstance(), startInstance()]);
// It is started where its secret is wrong; until then it is a target that does not answer.
const thirdPort = await freePort();
const prometheus = await startPrometheus([first.url, second.url, `http://127.0.0.1:${thirdPort}`]);
const panels = readPanels();
const load = { queriesPerSecond: 20, listsPerSecond: 0 };
void runLoad();
follow();

const shown: Record<string, Map<string, string>> = {};
const alerts: Record<string, string> = {};
await stage('nothing is wrong', () => {});
await stage('upstream answers 503', () => {
  sandbox.faults.order({ fault: { kind: 'status', status: 503 } });
  return () => sandbox.faults.clear();
});
await stage('40 different lists a second', () => {
  load.listsPerSecond = 40;
  return () => void (load.listsPerSecond = 0);
});
await stage('Redis is stopped', () => {
  redis.freeze();
  return () => redis.thaw();
});
await stage('a third instance has a wrong secret', async () => {
  await startInstance({ SAIL_CLIENT_SECRET: 'wrong', PORT: String(thirdPort) });
});
await stage('SIGTERM to an instance', async () => {
  second.child.kill('SIGTERM');
  await once(second.child, 'exit');
});

const stages = Object.keys(shown);
const rows = [...new Set(stages.flatMap(name => [...(shown[name]?.keys() ?? [])]))];
console.log(['| |', ...stages.map(name => ` ${name} |`)].join(''));
console.log(`|${' --- |'.repeat(stages.length + 1)}`);
for (const row of rows) {
  const cells = stages.map(name => shown[name]?.get(row) ?? '');
  if (new Set(cells).size > 1) console.log(`| ${row} | ${cells.join(' | ')} |`);
}
console.log(`| alerts | ${stages.map(name => alerts[name]).join(' | ')} |`);
for (const run of afterwards) await run();
process.exit(0);

async function stage(
  name: string,
  begin: () => void | (() => void) | Promise<void | (() => void)>,
): Promise<void> {
  const end = await begin();
  await wait(STAGE_MS);
  const values = new Map<string, string>();
  for (const { title, targets } of panels)
    for (const { expr, legendFormat } of targets)
      values.set(
        targets.length > 1 ? `${title}: ${legendFormat.replaceAll(/\{\{|\}\}/g, '')}` : title,
        toCell(await prometheus.query(expr)),
      );
  shown[name] = values;
  alerts[name] = (await prometheus.alerts()).join(', ');
  end?.();
  // The next stage begins from rest.
  await wait(STAGE_MS / 3);
}

/** The series of a panel that are not zero, by their labels. */
function toCell(series: { metric: Record<string, string>; value: [number, string] }[]): string {
  return series
    .map(({ metric, value: [, text] }) => {
      const label = Object.entries(metric)
        .filter(([key]) => !key.startsWith('__') && key !== 'job')
        .map(([key, value]) => (key === 'instance' ? instanceName(value) : value))
        .join(' ');
      const value = Number(Number(text).toPrecision(2));
      return { label, value };
    })
    .filter(({ value }) => !Number.isNaN(value) && value !== 0)
    .map(({ label, value }) => `${label} ${value}`.trim())
    .sort()
    .join(', ');
}

function instanceName(address: string): string {
  if (address.endsWith(`:${thirdPort}`)) return 'third';
  return first.url.includes(address) ? 'first' : 'second';
}

async function startInstance(
  more: Record<string, string> = {},
): Promise<{ url: string; child: ChildProcess }> {
  const child = spawn(process.execPath, ['dist/main.js', 'serve'], {
    env: { PATH: process.env['PATH'], ...env, ...more },
  });
  afterwards.push(() => child.kill('SIGKILL'));
  const [, address = ''] = /^GraphQL at (\S+), over/.exec(await firstLine(child)) ?? [];
  // As Kubernetes and balancers do.
  setInterval(() => void fetch(new URL('/health/ready', address)).catch(() => {}), 5_000);
  return { url: new URL(address).origin, child };
}

async function startPrometheus(urls: readonly string[]) {
  const rules = new URL('../deploy/prometheus/alerts.yaml', import.meta.url).pathname;
  const targets = urls.map(url => new URL(url).host);
  const config = {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: [rules],
    scrape_configs: [{ job_name: 'task-status-gateway', static_configs: [{ targets }] }],
  };
  // JSON is YAML.
  writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify(config));
  const port = await freePort();
  const child = spawn(
    'prometheus',
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: 'ignore' },
  );
  afterwards.push(() => child.kill('SIGKILL'));
  const origin = `http://127.0.0.1:${port}`;
  for (let isReady = false; !isReady; await wait(200))
    isReady = await fetch(`${origin}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  const get = async (path: string) => {
    const { data } = (await (await fetch(`${origin}${path}`)).json()) as { data: any };
    if (data === undefined) throw new Error(`Prometheus refused ${path}`);
    return data;
  };
  return {
    async query(expr: string) {
      const text = expr.replaceAll('$__rate_interval', RATE_INTERVAL).replaceAll('$instance', '.*');
      const { result } = await get(`/api/v1/query?query=${encodeURIComponent(text)}`);
      return result as { metric: Record<string, string>; value: [number, string] }[];
    },
    /** The alerts that fire or are about to, by name. */
    async alerts(): Promise<string[]> {
      const { alerts: all } = await get('/api/v1/alerts');
      const names = (all as { labels: { alertname: string }; state: string }[]).map(
        ({ labels, state }) =>
          `${labels.alertname.replace('TaskStatusGateway', '')}${state === 'pending' ? ' (pending)' : ''}`,
      );
      return [...new Set(names)].sort();
    },
  };
}

function readPanels(): Panel[] {
  const file = new URL('../deploy/grafana/dashboard.json', import.meta.url);
  const { panels: all } = JSON.parse(readFileSync(file, 'utf8')) as { panels: Partial<Panel>[] };
  return all.filter((panel): panel is Panel => panel.targets !== undefined);
}

/** Reads of single tasks, and of lists that no other read has asked for. */
async function runLoad(): Promise<void> {
  let number = 0;
  for (;;) {
    const { queriesPerSecond, listsPerSecond } = load;
    for (let count = 0; count < (queriesPerSecond + listsPerSecond) / 10; count++) {
      number++;
      const url = `${(number % 2 === 0 ? first : second).url}/graphql`;
      const query =
        count < queriesPerSecond / 10
          ? `query Read { taskStatus(id: "${ids[(number * 7) % TASKS]}") { state percentComplete } }`
          : `query List { taskStatuses(filter: { launcher: { eq: "${number}" } }) { nodes { id } } }`;
      void postGraphQL(url, query).catch(() => {});
    }
    await wait(100);
  }
}

function follow(): void {
  for (let place = 0; place < SUBSCRIBERS; place++) {
    const { url } = place % 2 === 0 ? first : second;
    const client = createClient({
      url: `${url}/graphql`,
      retryAttempts: Infinity,
      retry: () => wait(500),
    });
    subscribe();

    function subscribe(): void {
      const again = () => void setTimeout(subscribe, 1_000);
      client.subscribe(
        { query: PROGRESS, variables: { id: ids[place % TASKS] } },
        { next() {}, error: again, complete: again },
      );
    }
  }
}

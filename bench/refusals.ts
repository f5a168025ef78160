import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { environmentOver } from '../test/support/start.ts';
import { startTenant } from './tenant.ts';
import { tokenOf } from './attacks/claims.ts';

// What a refusal costs the processor, against the least that Node can do: read a body and answer 401. In turns.
const REQUESTS = 1_000;
const TURNS = 3;
const AT_ONCE = 32;
const BODY = JSON.stringify({ query: '{ taskStatuses(first: 1) { nodes { id } } }' });

const { sandbox } = await startTenant(0, { rateLimit: Infinity });
const bare = await start('refusals-bare.ts', {});
const gateway = await start('gateway-process.ts', {
  ...environmentOver(sandbox),
  AUTH_MODE: 'passthrough',
  GRAPHIQL: 'false',
  INTROSPECTION: 'false',
  LOG_LEVEL: 'error',
});
const forged = `Bearer ${tokenOf('forged', 'somebody')}`;
const CASES: [
  name: string,
  process: typeof bare,
  headers: () => Record<string, string>,
  body: string,
][] = [
  ['a bare 401 of node:http', bare, () => ({}), BODY],
  ['no token', gateway, () => ({}), BODY],
  ['a malformed token', gateway, () => ({ authorization: 'Bearer a b' }), BODY],
  ['a forged token that was refused before', gateway, () => ({ authorization: forged }), BODY],
  ['not JSON', gateway, () => ({ authorization: forged }), 'x'],
  [
    'a cached operation that is answered',
    gateway,
    () => ({ authorization: forged }),
    '{"query":"{ __typename }"}',
  ],
];
const micros = CASES.map((): number[] => []);
for (let turn = 0; turn <= TURNS; turn++)
  for (const [place, [, process, headers, body]] of CASES.entries()) {
    const cost = await measure(process, headers, body);
    // The first turn compiles.
    if (turn > 0) micros[place]!.push(cost);
  }
const medians = micros.map(values => values.toSorted((a, b) => a - b)[Math.floor(TURNS / 2)]!);
console.table(
  CASES.map(([name], place) => ({
    request: name,
    'processor, µs': Math.round(medians[place]!),
    'of a bare 401': (medians[place]! / medians[0]!).toFixed(1),
  })),
);
for (const { child } of [bare, gateway]) child.kill('SIGKILL');
await sandbox.close();

async function measure(
  { child, url }: typeof bare,
  headers: () => Record<string, string>,
  body: string,
): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const before = await cpuSeconds();
  let left = REQUESTS;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) await send();
    }),
  );
  const after = await cpuSeconds();
  agent.destroy();
  return ((after - before) / REQUESTS) * 1e6;

  function send(): Promise<void> {
    return new Promise((resolve, reject) => {
      const sent = request(
        url,
        { method: 'POST', agent, headers: { 'content-type': 'application/json', ...headers() } },
        response => response.resume().on('end', resolve),
      );
      sent.on('error', reject);
      sent.end(body);
    });
  }

  async function cpuSeconds(): Promise<number> {
    child.send('usage');
    const [usage] = (await once(child, 'message')) as [{ cpuSeconds: number }];
    return usage.cpuSeconds;
  }
}

async function start(file: string, env: Record<string, string>) {
  const child = fork(new URL(file, import.meta.url), {
    execArgv: ['--import', 'tsx'],
    env: { PATH: process.env['PATH'], ...env },
  });
  const [{ url }] = (await once(child, 'message')) as [{ url: string }];
  return { child, url };
}

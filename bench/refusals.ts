import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { environmentOver } from '../test/support/start.ts';
import { startTenant } from './tenant.ts';
import { tokenOf } from './attacks/claims.ts';

// What a refusal costs the processor, against the least that Node can do: read a body and answer
// 401. In turns.
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
// One that upstream refuses in the first turn, and one that it is never shown.
const forged = `Bearer ${tokenOf('forged', 'somebody')}`;
const untried = `Bearer ${tokenOf('forged', 'somebody')}`;
interface Case {
  name: string;
  server: typeof bare;
  authorization?: string;
  body: string;
  status: number;
}
const CASES: Case[] = [
  { name: 'a bare 401 of node:http', server: bare, body: BODY, status: 401 },
  { name: 'no token', server: gateway, body: BODY, status: 401 },
  {
    name: 'a malformed token',
    server: gateway,
    authorization: 'Bearer a b',
    body: BODY,
    status: 401,
  },
  {
    name: 'a forged token that was refused before',
    server: gateway,
    authorization: forged,
    body: BODY,
    status: 401,
  },
  { name: 'not JSON', server: gateway, authorization: untried, body: 'x', status: 400 },
  {
    name: 'a cached operation that is answered',
    server: gateway,
    authorization: untried,
    body: '{"query":"{ __typename }"}',
    status: 200,
  },
];
const micros = CASES.map((): number[] => []);
for (let turn = 0; turn <= TURNS; turn++)
  for (const [place, tried] of CASES.entries()) {
    // The first turn compiles, and in it upstream refuses the forged token.
    const cost = await measure(tried, turn > 0);
    if (turn > 0) micros[place]!.push(cost);
  }
const medians = micros.map(values => values.toSorted((a, b) => a - b)[Math.floor(TURNS / 2)]!);
console.table(
  CASES.map(({ name }, place) => ({
    request: name,
    'processor, µs': Math.round(medians[place]!),
    'of a bare 401': (medians[place]! / medians[0]!).toFixed(1),
  })),
);
for (const { child } of [bare, gateway]) child.kill('SIGKILL');
await sandbox.close();

async function measure(
  { server, authorization, body, status }: Case,
  isChecked: boolean,
): Promise<number> {
  const { child, url } = server;
  const headers = {
    'content-type': 'application/json',
    ...(authorization && { authorization }),
  };
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
      const sent = request(url, { method: 'POST', agent, headers }, response => {
        if (isChecked && response.statusCode !== status)
          reject(new Error(`status ${response.statusCode}`));
        response.resume().on('end', resolve);
      });
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

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import { type Attack, VICTIM_CLIENT, createAttacks, harmless } from './attacks/attacks.ts';
import { LIMIT, WINDOW_MS, tokenOf } from './attacks/claims.ts';

// Each attack from a process of its own, against a gateway of its own, with a caller beside it who
// asks for five lists a second. In rounds: nothing else, as many harmless requests as the attack
// has steps, the attack.
const ROUND_MS = Number(process.env['ROUND_MS'] ?? 5_000);
const ROUNDS = Number(process.env['ROUNDS'] ?? 3);
const ONLY = process.env['ONLY'] ?? '';
const EVERY_MS = 200;
const LIST =
  'query ($launcher: String!) { taskStatuses(first: 1, filter: { launcher: { eq: $launcher } }) { nodes { id } } }';
const SETTINGS = {
  HOST: '127.0.0.1',
  PORT: '0',
  LOG_LEVEL: 'error',
  // As where HOST is not loopback.
  GRAPHIQL: 'false',
  INTROSPECTION: 'false',
  SUGGESTIONS: 'false',
  UPSTREAM_RATE_LIMIT: String(LIMIT),
  UPSTREAM_RATE_WINDOW_MS: String(WINDOW_MS),
};
const HEAP_MB = 384;

interface Round {
  latencies: number[];
  lost: string[];
}

const issuer = await startIssuer();
let serial = 0;

for (const attack of createAttacks('').filter(({ name }) => name.includes(ONLY)))
  console.log(JSON.stringify(await measure(attack)));
issuer.close();

async function measure(attack: Attack) {
  const tenant = await start('attacks/tenant-process.ts');
  const gateway = await start('gateway-process.ts', [], {
    ...SETTINGS,
    SAIL_BASE_URL: tenant.ready as string,
    ...(attack.isService ? issuer.settings : { AUTH_MODE: 'passthrough' }),
  });
  const { url } = gateway.ready as { url: string };
  const [victim, attacker] = attack.isService
    ? await Promise.all([issuer.sign('victim'), issuer.sign('attacker')])
    : [tokenOf('good', VICTIM_CLIENT), ''];
  const attackers = await start('attacks/attacker-process.ts', [url, attacker]);
  const rounds: Record<'alone' | 'control' | 'attack', Round> = {
    alone: { latencies: [], lost: [] },
    control: { latencies: [], lost: [] },
    attack: { latencies: [], lost: [] },
  };
  // Once round first: what is compiled once is not measured.
  await ask(url, victim, { latencies: [], lost: [] }, ROUND_MS / 2);
  let steps = 0;
  for (let count = 0; count < ROUNDS; count++) {
    await ask(url, victim, rounds.alone);
    // Harmless requests with a token of service mode would be those of the attacker.
    for (const [name, what] of [
      ['control', harmless],
      ['attack', attack],
    ] as const) {
      attackers.child.send({ start: what.name, rate: attack.rate });
      await ask(url, victim, rounds[name]);
      const [done] = await tell<number>(attackers.child, { start: null });
      if (name === 'attack') steps += done;
    }
  }
  const hasExited = gateway.child.exitCode !== null || gateway.child.signalCode !== null;
  const maxRssMb = hasExited ? 'it has exited' : (await usageOf(gateway.child)).maxRssMb;
  const [counts] = await tell<Record<string, number>>(tenant.child, 'counts');
  for (const { child } of [tenant, gateway, attackers]) child.kill('SIGKILL');
  const [alone, control, attacked] = [rounds.alone, rounds.control, rounds.attack].map(describe);
  return {
    attack: attack.name,
    'steps a second': Math.round(steps / ((ROUNDS * ROUND_MS) / 1000)),
    alone,
    control,
    attacked,
    lost: rounds.attack.lost.length,
    why: [...new Set([...rounds.alone.lost, ...rounds.attack.lost])].slice(0, 3),
    'most RSS, MB': maxRssMb,
    '429 to good tokens': counts['good 429'] ?? 0,
  };
}

function describe({ latencies }: Round): string {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return `${at(0.5)?.toFixed(1)} / ${at(0.99)?.toFixed(1)} ms`;
}

/** Lists, one after another, each over a connection of its own. */
async function ask(url: string, token: string, round: Round, forMs = ROUND_MS): Promise<void> {
  const asked: Promise<void>[] = [];
  for (const end = performance.now() + forMs; performance.now() < end;) {
    const startedAt = performance.now();
    asked.push(
      askOnce(url, token).then(error => {
        if (error === null) round.latencies.push(performance.now() - startedAt);
        else round.lost.push(error);
      }),
    );
    await new Promise(resolve => setTimeout(resolve, EVERY_MS));
  }
  await Promise.all(asked);
}

/** Null, or how it failed. */
function askOnce(url: string, token: string): Promise<string | null> {
  return new Promise(resolve => {
    const sent = request(
      url,
      {
        method: 'POST',
        agent: false,
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      },
      response => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('close', () =>
          resolve(text.includes('"nodes":[{') ? null : text.slice(0, 200)),
        );
      },
    );
    sent.on('error', error => resolve(error.message));
    sent.end(JSON.stringify({ query: LIST, variables: { launcher: `victim ${serial++}` } }));
  });
}

async function start(file: string, args: string[] = [], env: Record<string, string> = {}) {
  const child = fork(new URL(file, import.meta.url), args, {
    execArgv: [`--max-old-space-size=${HEAP_MB}`, '--expose-gc', '--import', 'tsx'],
    env: { PATH: process.env['PATH'], ...env },
  });
  const [ready] = await once(child, 'message');
  return { child, ready };
}

function tell<T>(child: ChildProcess, message: object | string): Promise<[T]> {
  if (child.exitCode !== null || child.signalCode !== null)
    throw new Error(`a process has exited: ${child.exitCode ?? child.signalCode}`);
  child.send(message);
  return Promise.race([
    once(child, 'message') as Promise<[T]>,
    once(child, 'exit').then(([code, signal]) => {
      throw new Error(`a process exited: ${code ?? signal}`);
    }),
  ]);
}

async function usageOf(child: ChildProcess): Promise<{ maxRssMb: number }> {
  const [{ maxRssMb }] = await tell<{ maxRssMb: number }>(child, 'usage');
  return { maxRssMb: Math.round(maxRssMb) };
}

/** Signs the JWTs of callers of service mode, and publishes its key. */
async function startIssuer() {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
  const keys = [{ ...(await exportJWK(publicKey)), alg: 'RS256', kid: 'k' }];
  const server = createServer((_request, response) =>
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys })),
  ).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
  return {
    settings: {
      AUTH_MODE: 'service',
      SAIL_CLIENT_ID: 'gateway',
      SAIL_CLIENT_SECRET: 'secret',
      JWKS_URL: url,
      JWT_ISSUER: 'https://issuer.example.com',
      JWT_AUDIENCE: 'gateway',
    },
    sign: (subject: string) =>
      new SignJWT({ sub: subject })
        .setProtectedHeader({ alg: 'RS256', kid: 'k' })
        .setIssuer('https://issuer.example.com')
        .setAudience('gateway')
        .setExpirationTime('1h')
        .sign(privateKey),
    close: () => server.close(),
  };
}

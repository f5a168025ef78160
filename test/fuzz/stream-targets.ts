import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Random } from '../../src/sandbox/random.ts';
import { anyOperation } from './documents.ts';
import { type FuzzTarget, type Lifetime, assertCoded } from './fuzz-target.ts';
import { openFuzzedGateway } from './fuzzed-gateway.ts';
import { anyJson, anyText } from './inputs.ts';

const post = (body: unknown, headers: Record<string, string>): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
});

/** Asserts that what was streamed as JSON has no error without a code. */
function assertStream(text: string, input: unknown): void {
  // What follows the last newline was not received to its end. In a text, U+2028 ends no line.
  for (const line of text.split('\n').slice(0, -1)) {
    const [, json] = /^(?:data: )?(\{[^]+\})\r?$/.exec(line) ?? [];
    if (json === undefined) continue;
    const { errors, payload } = JSON.parse(json);
    const found = errors ?? payload?.errors;
    if (found !== undefined) assertCoded(found, input);
  }
}

const ACCEPTS = ['text/event-stream', 'multipart/mixed;subscriptionSpec=1.0', 'multipart/mixed;subscriptionSpec="1.0", application/json', 'text/event-stream, application/json;callbackSpec=1.0']; // oxfmt-ignore

/**
 * Distinct connections over SSE and multipart: the first bytes of each stream, which is then left.
 */
const streams: FuzzTarget = {
  name: 'event streams',
  share: 60,
  async open(lifetime) {
    const gateway = await openFuzzedGateway(lifetime);
    return {
      checkHealth: gateway.checkHealth,
      async run(random) {
        await Promise.all(
          Array.from({ length: 8 }, async () => {
            const operation = anyOperation(
              random,
              gateway.id,
              random.chance(0.6) ? 'subscription' : undefined,
            );
            const leaving = new AbortController();
            const response = await fetch(gateway.url, {
              ...post(operation, { accept: random.pick(ACCEPTS) }),
              signal: leaving.signal,
            });
            assert.ok(response.status < 500, JSON.stringify([operation, response.status]));
            let text = '';
            for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
              text += chunk;
              // A subscription to what changes has no end.
              if (
                /"(data|errors)":.*\n/.test(text) ||
                /taskStatusChanged/.test(String(operation['query']))
              )
                break;
            }
            leaving.abort();
            assertStream(text, operation);
          }),
        );
        return 8;
      },
    };
  },
};

/** One stream for many operations: odd requests to it, in any order. */
const singleConnection: FuzzTarget = {
  name: 'single-connection streams',
  share: 50,
  async open(lifetime) {
    const gateway = await openFuzzedGateway(lifetime);
    const url = `${gateway.url}/stream`;
    return {
      checkHealth: gateway.checkHealth,
      async run(random) {
        const token = await (await fetch(url, { method: 'PUT' })).text();
        const leaving = new AbortController();
        const inputs = Array.from({ length: random.between(4, 12) }, () =>
          anyStreamRequest(random, gateway.id),
        );
        const opened = await fetch(`${url}?token=${token}`, { signal: leaving.signal });
        const received = readAll(opened);
        await Promise.all(
          inputs.map(async ({ init, search }) => {
            const headers = {
              ...(init.headers as Record<string, string> | undefined),
              'x-graphql-event-stream-token': random.chance(0.95) ? token : 'x',
            };
            const response = await fetch(`${url}${search}`, { ...init, headers });
            const text = await response.text();
            assert.ok(response.status < 500, JSON.stringify([init, response.status, text]));
            if (response.status >= 400) assertCoded(JSON.parse(text).errors, init);
          }),
        );
        leaving.abort();
        assertStream(await received, inputs);
        return inputs.length;
      },
    };
  },
};

async function readAll({ body }: Response): Promise<string> {
  let text = '';
  try {
    for await (const chunk of body!.pipeThrough(new TextDecoderStream())) text += chunk;
  } catch {
    // It is left before its end.
  }
  return text.slice(0, text.lastIndexOf('\n\n') + 2);
}

function anyStreamRequest(random: Random, id: string): { init: RequestInit; search: string } {
  const operationId = random.chance(0.9)
    ? random.pick(['1', '2', '3', anyText(random)])
    : anyJson(random, 1);
  if (random.chance(0.2)) {
    const search = `?operationId=${encodeURIComponent(String(operationId).toWellFormed())}`;
    return { init: { method: random.pick(['DELETE', 'PUT', 'GET', 'PATCH']) }, search };
  }
  const operation = { ...anyOperation(random, id), extensions: { operationId } };
  return { init: post(random.chance(0.95) ? operation : anyJson(random), {}), search: '' };
}

/** Requests that name a place for their events, which may or may not be one. */
const callbacks: FuzzTarget = {
  name: 'callbacks',
  share: 40,
  async open(lifetime) {
    const { port } = await startRouter(lifetime);
    const gateway = await openFuzzedGateway(lifetime, {
      SUBSCRIPTION_CALLBACK_HOSTS: `127.0.0.1:${port}`,
    });
    return {
      checkHealth: gateway.checkHealth,
      async run(random) {
        await Promise.all(
          Array.from({ length: 4 }, async () => {
            const subscription: Record<string, unknown> = {
              callbackUrl: `http://127.0.0.1:${port}/${random.pick(['confirm', 'refuse'])}`,
              subscriptionId: random.hex(8),
              verifier: random.hex(8),
            };
            if (random.chance(0.7))
              subscription[random.pick(['callbackUrl', 'subscriptionId', 'verifier', 'heartbeatIntervalMs'])] = random.pick([
                anyJson(random, 1), `http://127.0.0.1:${port}@evil.example/`, `http://127.0.0.1:${port + 1}/`, 'file:///etc/passwd', 0, -1, 1e308,
              ]); // oxfmt-ignore
            const operation = {
              ...anyOperation(random, gateway.id, random.chance(0.7) ? 'subscription' : undefined),
              extensions: { subscription: random.chance(0.9) ? subscription : anyJson(random) },
            };
            const response = await fetch(
              gateway.url,
              post(operation, { accept: 'application/json;callbackSpec=1.0' }),
            );
            const text = await response.text();
            assert.ok(response.status < 500, JSON.stringify([operation, text]));
            if (response.status >= 400) assertCoded(JSON.parse(text).errors, operation);
          }),
        );
        return 4;
      },
    };
  },
};

/** A router that confirms the first events of a subscription, and then wants no more. */
async function startRouter(lifetime: Lifetime): Promise<{ port: number }> {
  const seen = new Set<string>();
  const router = createServer((request, response) => {
    let text = '';
    request.on('data', data => (text += data));
    request.on('end', () => {
      const { id } = JSON.parse(text);
      const isWanted = request.url === '/confirm' && !seen.has(id);
      seen.add(id);
      response.writeHead(isWanted ? 204 : 404).end();
    });
  });
  router.listen(0, '127.0.0.1');
  await once(router, 'listening');
  lifetime.after(() => {
    router.closeAllConnections();
    router.close();
  });
  return { port: (router.address() as AddressInfo).port };
}

export const STREAM_TARGETS: readonly FuzzTarget[] = [streams, singleConnection, callbacks];

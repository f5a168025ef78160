import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { Random } from '../../src/sandbox/random.ts';
import { ROW_MUTATIONS } from '../../src/sandbox/row-mutations.ts';
import { startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { SPECIFIED_ROW } from '../support/row.ts';
import { type FuzzTarget, type Lifetime, assertCoded, severally } from './fuzz-target.ts';
import { anyJson, anyText, mutateBytes, mutateText } from './inputs.ts';

const TASK =
  'id type state target { id name source { id } identity { id } } created modified messages { key localizedText { message } parameters } returns { name } attributes percentComplete elapsedSeconds estimatedCompletion taskDefinitionSummary { arguments }';
const READS: readonly string[] = [
  `{ taskStatus(id: "a") { ${TASK} } }`,
  `{ taskStatuses(first: 3) { totalCount nodes { ${TASK} } pageInfo { hasNextPage endCursor } } }`,
  `{ taskStatuses(first: 3, filter: { completionStatus: { isNull: true } }) { nodes { ${TASK} } } }`,
  `{ _entities(representations: [{ __typename: "TaskStatus", id: "a" }, { __typename: "Source", id: "s" }]) { ... on TaskStatus { ${TASK} } ... on Source { latestTask { id } tasks(first: 2) { nodes { id } } } } }`,
  `mutation { updateTaskStatus(input: { id: "a", completionStatus: ERROR }) { taskStatus { ${TASK} } } }`,
];
const HEADERS = ['content-type', 'x-total-count', 'retry-after', 'slpt-request-id', 'content-encoding', 'location', 'etag', 'content-length', 'set-cookie']; // oxfmt-ignore
// Most of the time is spent waiting, for the rest of an answer or for a retry.
const AT_ONCE = 16;
const ROUNDS = 4;
const MUTATIONS = Object.values(ROW_MUTATIONS);

/** What upstream sends, framed or not. */
interface UpstreamAnswer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
  /** How the connection ends. */
  ending: 'whole' | 'cut' | 'reset' | 'raw';
}

function anyAnswer(random: Random): UpstreamAnswer {
  const rows = Array.from({ length: random.between(0, 3) }, () => {
    const row: Record<string, unknown> = random.pick(MUTATIONS)({
      ...SPECIFIED_ROW,
      id: random.pick(['a', 'b', random.hex(8)]),
    });
    if (random.chance(0.6)) row[random.pick(Object.keys(SPECIFIED_ROW))] = anyJson(random);
    return row;
  });
  const json = JSON.stringify(random.pick([rows, rows, rows[0] ?? {}, anyJson(random)])) ?? '';
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (random.chance(0.5))
    headers[random.pick(HEADERS)] = random.pick([
      '0',
      '7',
      '-1',
      '1e9',
      'gzip',
      'br',
      asciiOf(anyText(random, 20)),
    ]);
  const plain = Buffer.from(random.chance(0.8) ? json : mutateText(random, json));
  const body =
    headers['content-encoding'] === 'gzip' && random.chance(0.7) ? gzipSync(plain) : plain;
  return {
    status: random.chance(0.85)
      ? 200
      : random.pick([201, 204, 301, 304, 400, 404, 410, 414, 422, 500]),
    headers,
    body: random.chance(0.9) ? body : mutateBytes(random, body),
    ending: random.chance(0.94) ? 'whole' : random.pick(['cut', 'reset', 'raw']),
  };
}

function send(response: ServerResponse, { status, headers, body, ending }: UpstreamAnswer): void {
  const { socket } = response;
  if (ending === 'raw')
    return void socket?.end(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\n'), body]));
  if (ending === 'reset') return void socket?.resetAndDestroy();
  try {
    // A length that is not the body's is one of the things that go wrong.
    response.strictContentLength = false;
    response.writeHead(status, headers);
    if (ending === 'whole') response.end(body);
    else response.write(body, () => socket?.destroy());
  } catch {
    // Node refuses to write some headers.
    socket?.destroy();
  }
}

function asciiOf(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, '~');
}

/**
 * Whatever upstream answers, callers have data or errors with codes; a good answer after it is
 * read.
 */
const answers: FuzzTarget = {
  name: "upstream's answers",
  share: 40,
  async open(lifetime) {
    const pairs = await Promise.all(Array.from({ length: AT_ONCE }, () => openPair(lifetime)));
    return {
      run: random => {
        const free = [...pairs];
        return severally(random, AT_ONCE, async own => {
          const tryAnswers = free.pop()!;
          let inputs = 0;
          for (let round = 0; round < ROUNDS; round++) inputs += await tryAnswers(own);
          return inputs;
        });
      },
    };
  },
};

/**
 * A gateway over an upstream of its own. What is returned tries one answer to each of the reads.
 */
async function openPair(lifetime: Lifetime): Promise<(random: Random) => Promise<number>> {
  const upstream = await startHostileUpstream(lifetime as TestContext);
  // A new gateway after some inputs: the breaker of another would refuse to ask for the rest.
  let left = 0;
  let closeLast = async () => {};
  let gateway: Awaited<ReturnType<typeof startGatewayOver>>;
  lifetime.after(() => closeLast());
  return async random => {
    if (left-- <= 0) {
      await closeLast();
      left = 20;
      const closers: (() => unknown)[] = [];
      const own = {
        after: (close: () => unknown) => closers.push(close),
      } as unknown as TestContext;
      gateway = await startGatewayOver(own, upstream.url, {
        UPSTREAM_TIMEOUT_MS: '500',
        OPERATION_TIMEOUT_MS: '1500',
      });
      closeLast = async () => void (await Promise.all(closers.splice(0).map(close => close())));
    }
    const given: UpstreamAnswer[] = [];
    upstream.respond = response => {
      const answer = anyAnswer(random);
      given.push(answer);
      send(response, answer);
    };
    const answered = await Promise.all(READS.map(read => gateway.query(read)));
    const context = given.map(({ body, ...more }) => ({
      ...more,
      body: body.toString('latin1').slice(0, 300),
    }));
    for (const { data, errors } of answered) {
      if (errors !== undefined) assertCoded(errors, context);
      else assert.notEqual(data, undefined, JSON.stringify(context));
    }
    const logged = gateway.log.lines.filter(({ level }) => level === 'error');
    assert.deepEqual(logged, [], JSON.stringify(context));
    gateway.log.lines.length = 0;
    upstream.requests.length = 0;
    return Math.max(1, given.length);
  };
}

export const UPSTREAM_TARGETS: readonly FuzzTarget[] = [answers];

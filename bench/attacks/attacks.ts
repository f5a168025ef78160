import { connect } from 'node:net';
import { Agent, request } from 'node:http';
import { WebSocket } from 'ws';
import { type TokenKind, tokenOf } from './claims.ts';

/** One of the attacks: what it sends, and how often. */
export interface Attack {
  name: string;
  /** Steps a second. */
  rate: number;
  /** One step; resolves once it has been answered, or at once for what is held open. */
  step(url: URL, count: number): Promise<void>;
  /** Whether the gateway runs in service mode, with JWTs of its callers. */
  isService?: boolean;
}

export const VICTIM_CLIENT = 'victim';

const LIST =
  'query ($launcher: String!) { taskStatuses(first: 1, filter: { launcher: { eq: $launcher } }) { nodes { id } } }';
const agent = new Agent({ keepAlive: true, maxSockets: 256 });
const KILOBYTE = 'x'.repeat(1_024);
const HUGE_TEXT = KILOBYTE.repeat(245);
/** Sockets of the attacks that hold them. */
const held: { destroy(): void }[] = [];

/** What the control sends, as often as the attack: a request that costs as little as one can. */
export const harmless: Attack = {
  name: 'harmless requests',
  rate: 0,
  step: url => post(url, { query: '{ __typename }' }, HARMLESS_TOKEN),
};
const HARMLESS_TOKEN = tokenOf('good', 'harmless');

/** `token` is that of a caller of service mode, who attacks with a credential. */
export function createAttacks(callerToken: string): Attack[] {
  const listWith =
    (kind: TokenKind, client = VICTIM_CLIENT, padding = '') =>
    (url: URL, count: number) =>
      post(
        url,
        { query: LIST, variables: { launcher: `${count}` } },
        tokenOf(kind, client, padding),
      );
  const attacker = {
    endless: tokenOf('endless', 'attacker'),
    huge: tokenOf('huge', 'attacker'),
  };
  return [
    {
      name: 'distinct documents of 245 kB, without a token',
      rate: 100,
      step: (url, count) => post(url, { query: `{ __typename } # ${count} ${HUGE_TEXT}` }, null),
    },
    {
      name: 'distinct documents of 245 kB, with forged tokens',
      rate: 100,
      step: (url, count) =>
        post(
          url,
          { query: `{ __typename } # ${count} ${HUGE_TEXT}` },
          tokenOf('forged', VICTIM_CLIENT),
        ),
    },
    {
      name: 'documents of 1 MB',
      rate: 100,
      step: (url, count) =>
        post(url, { query: `{ __typename } # ${count} ${HUGE_TEXT.repeat(4)}` }, null),
    },
    {
      name: 'a request of 25,000 aliases',
      rate: 20,
      step: url =>
        post(
          url,
          { query: `{ ${many(25_000, n => `a${n}: taskStatus(id: "x") { id }`)} }` },
          tokenOf('forged', VICTIM_CLIENT),
        ),
    },
    {
      name: 'distinct documents of 1,600 fragments, with forged tokens',
      rate: 20,
      step: (url, count) =>
        post(
          url,
          {
            query: `query q${count} { ${many(1_600, n => `...f${n}`)} } ${many(1_600, n => `fragment f${n} on Query { __typename }`)}`,
          },
          tokenOf('forged', VICTIM_CLIENT),
        ),
    },
    {
      name: 'distinct documents of 14,000 tokens, with forged tokens',
      rate: 20,
      step: (url, count) =>
        post(
          url,
          {
            query: `query q${count} { taskStatuses(filter: { id: { in: [${many(13_900, n => `${n}`)}] } }) { nodes { id } } }`,
          },
          tokenOf('forged', VICTIM_CLIENT),
        ),
    },
    {
      name: 'variables of 245 kB that make 120,000 values, with forged tokens',
      rate: 50,
      step: (url, count) =>
        post(
          url,
          { query: LIST, variables: { launcher: `${count}`, more: Array(81_000).fill([]) } },
          tokenOf('forged', VICTIM_CLIENT),
        ),
    },
    { name: 'forged tokens that name another client', rate: 100, step: listWith('forged') },
    {
      name: 'forged tokens that are answered 429, Retry-After 300',
      rate: 100,
      step: listWith('paused'),
    },
    { name: 'Retry-After 1000000000000', rate: 100, step: listWith('paused for ever') },
    {
      name: 'garbage of 8 kB that is answered 431',
      rate: 100,
      step: listWith('too long', VICTIM_CLIENT, KILOBYTE.repeat(5)),
    },
    { name: 'tokens on which upstream resets the connection', rate: 100, step: listWith('reset') },
    {
      name: 'forged tokens of ever new clients',
      rate: 200,
      step: (url, count) => listWith('forged', `client ${count}`)(url, count),
    },
    {
      name: 'requests without a token',
      rate: 500,
      step: url => post(url, { query: LIST }, null),
    },
    {
      name: 'service mode: a thousand lists of one caller',
      rate: 100,
      isService: true,
      step: (url, count) =>
        post(url, { query: LIST, variables: { launcher: `a${count}` } }, callerToken),
    },
    {
      name: 'WebSockets that are not read',
      rate: 20,
      async step(url) {
        const socket = await openSocket(url);
        socket.pause();
        const flood = setInterval(() => {
          for (let count = 0; count < 20; count++)
            if (socket.readyState === WebSocket.OPEN)
              socket.send(`{"type":"ping","payload":{"x":"${KILOBYTE}"}}`);
        }, 100);
        socket.once('close', () => clearInterval(flood));
      },
    },
    {
      name: 'WebSockets with connection_init of 250 kB',
      rate: 300,
      async step(url) {
        const socket = await openSocket(url, 'keep');
        socket.send(JSON.stringify({ type: 'connection_init', payload: { x: HUGE_TEXT } }));
      },
    },
    {
      name: 'WebSockets with a message that does not end',
      rate: 300,
      async step(url) {
        const socket = await openSocket(url, 'keep');
        socket.send(HUGE_TEXT, { fin: false });
      },
    },
    {
      name: 'WebSockets with nothing on them',
      rate: 300,
      async step(url) {
        await openSocket(url, 'keep');
      },
    },
    {
      name: 'bodies of 250 kB that do not end',
      rate: 300,
      async step(url) {
        hold(
          url,
          `POST /graphql HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 262000\r\n\r\n${HUGE_TEXT}`,
        );
      },
    },
    {
      name: 'headers that do not end',
      rate: 300,
      async step(url) {
        hold(url, `POST /graphql HTTP/1.1\r\nHost: h\r\nX-Slow: ${KILOBYTE.repeat(8)}`);
      },
    },
    {
      name: 'connections with 200 requests at once',
      rate: 10,
      async step(url) {
        const socket = hold(
          url,
          'GET /graphql?query=%7B__typename%7D HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(200),
        );
        await new Promise(resolve => socket.once('close', resolve));
      },
    },
    {
      name: 'PUT /graphql/stream without a token',
      rate: 500,
      step: url => send(new URL('/graphql/stream', url), 'PUT', null, ''),
    },
    {
      name: 'PUT /graphql/stream with forged tokens',
      rate: 500,
      step: url =>
        send(new URL('/graphql/stream', url), 'PUT', tokenOf('forged', VICTIM_CLIENT), ''),
    },
    {
      name: 'upstream answers 300 MB',
      rate: 4,
      step: (url, count) =>
        post(url, { query: LIST, variables: { launcher: `h${count}` } }, attacker.huge),
    },
    {
      name: 'a list without end, subscribed to and left',
      rate: 4,
      step: url =>
        new Promise(resolve => {
          const sent = request(url, {
            method: 'POST',
            agent: false,
            headers: headersOf(attacker.endless, 'text/event-stream'),
          });
          sent.on('error', () => {});
          sent.once('close', () => resolve());
          sent.end(
            '{"query":"subscription { taskStatusChanged(snapshot: true) { kind taskStatus { id } } }"}',
          );
          setTimeout(() => sent.destroy(), 1_000);
        }),
    },
  ];
}

/** Ends what the attacks hold open. */
export function releaseHeld(): void {
  for (const socket of held.splice(0)) socket.destroy();
}

function many(count: number, one: (n: number) => string): string {
  return Array.from({ length: count }, (_, n) => one(n)).join(' ');
}

function post(url: URL, body: object, token: string | null): Promise<void> {
  return send(url, 'POST', token, JSON.stringify(body));
}

function headersOf(token: string | null, accept = 'application/json'): Record<string, string> {
  return {
    accept,
    'content-type': 'application/json',
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
  };
}

function send(url: URL, method: string, token: string | null, body: string): Promise<void> {
  return new Promise(resolve => {
    const sent = request(url, { method, agent, headers: headersOf(token) }, response => {
      response.resume().on('close', resolve);
    });
    sent.on('error', () => resolve());
    sent.end(body);
  });
}

function hold(url: URL, text: string) {
  const socket = connect(Number(url.port), url.hostname);
  socket.on('error', () => {});
  socket.write(text);
  socket.resume();
  held.push(socket);
  return socket;
}

async function openSocket(url: URL, init: 'init' | 'keep' = 'init'): Promise<WebSocket> {
  const socket = new WebSocket(url.href.replace('http', 'ws'), 'graphql-transport-ws');
  socket.on('error', () => {});
  held.push({ destroy: () => socket.terminate() });
  await new Promise(resolve => socket.once('open', resolve).once('close', resolve));
  if (init === 'init' && socket.readyState === WebSocket.OPEN)
    socket.send('{"type":"connection_init"}');
  return socket;
}

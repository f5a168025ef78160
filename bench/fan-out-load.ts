import { type ClientRequest, request } from 'node:http';
import { WebSocket } from 'ws';
import { PROGRESS } from './subscribers.ts';

// The subscribers of bench/fan-out.ts, in a process of their own. Each has a connection of its own.
interface Open {
  open: 'ws' | 'sse';
  url: string;
  ids: string[];
  subscribers: number;
}

type Command =
  | Open
  | { close: true }
  /** Answers once so many events have arrived since the subscribers were opened. */
  | { await: number };

// A backlog of connections that the kernel holds for a server without refusing any.
const AT_ONCE = 100;
let events = 0;
let sample = '';
let awaited = Infinity;
let closers: (() => void)[] = [];

process.on('message', (command: Command) => {
  if ('open' in command) void open(command);
  else if ('await' in command) {
    awaited = command.await;
    settle();
  } else {
    for (const close of closers) close();
    closers = [];
    events = 0;
    process.send?.({});
  }
});

async function open({ open: transport, url, ids, subscribers }: Open) {
  for (let first = 0; first < subscribers; first += AT_ONCE)
    await Promise.all(
      Array.from({ length: Math.min(AT_ONCE, subscribers - first) }, (_, place) => {
        const id = ids[(first + place) % ids.length] ?? '';
        const payload = { query: PROGRESS, variables: { id } };
        return transport === 'ws' ? openSocket(url, payload) : openStream(url, payload);
      }),
    );
  process.send?.({});
}

/** Resolves when the subscription has been sent. */
function openSocket(url: string, payload: object): Promise<void> {
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws', {
    perMessageDeflate: false,
  });
  closers.push(() => socket.terminate());
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.once('open', () => socket.send('{"type":"connection_init"}'));
    socket.on('message', (data: Buffer) => {
      const message = data.toString('latin1');
      if (message.includes('"next"')) count(message);
      else if (message.includes('"connection_ack"'))
        socket.send(JSON.stringify({ id: '0', type: 'subscribe', payload }), () => resolve());
    });
  });
}

/** Resolves when the response has begun. */
function openStream(url: string, payload: object): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream: ClientRequest = request(url, {
      method: 'POST',
      agent: false,
      headers: { accept: 'text/event-stream', 'content-type': 'application/json' },
    });
    closers.push(() => stream.destroy());
    stream.on('error', reject);
    stream.on('response', response => {
      resolve();
      response.setEncoding('latin1').on('data', (chunk: string) => {
        for (const part of chunk.split('event: next').slice(1)) count(`event: next${part}`);
      });
    });
    stream.end(JSON.stringify(payload));
  });
}

function count(text: string): void {
  events++;
  sample = text;
  settle();
}

function settle(): void {
  if (events < awaited) return;
  awaited = Infinity;
  process.send?.({ events, sample });
}

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { Random } from '../../src/sandbox/random.ts';
import { anyOperation } from './documents.ts';
import { type FuzzTarget, assertCoded } from './fuzz-target.ts';
import { openFuzzedGateway } from './fuzzed-gateway.ts';
import { anyJson, anyText, mutateBytes, mutateText } from './inputs.ts';

/** Close codes of both protocols that say what a client did wrong. */
const CLOSE_CODES = new Set([
  1000, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 4400, 4401, 4406, 4408, 4409, 4429,
]);
const TYPES = [
  'subscribe',
  'subscribe',
  'subscribe',
  'subscribe',
  'complete',
  'ping',
  'pong',
  'next',
  'error',
  'connection_ack',
  '',
];

async function openSocket(url: string) {
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
  const messages: any[] = [];
  socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString())));
  socket.on('error', () => {});
  const closed = new Promise<number>(resolve => socket.once('close', resolve));
  await once(socket, 'open');
  return { socket, messages, closed };
}

/** Messages of graphql-transport-ws: a socket answers them, or is closed with a code that says why. */
const messages: FuzzTarget = {
  name: 'websocket messages',
  share: 16,
  async open(lifetime) {
    const gateway = await openFuzzedGateway(lifetime);
    return {
      checkHealth: gateway.checkHealth,
      async run(random) {
        const { socket, messages: received, closed } = await openSocket(gateway.url);
        const inputs = Array.from({ length: 25 }, (_, place) =>
          anyMessage(random, gateway.id, place),
        );
        if (random.chance(0.95))
          socket.send(JSON.stringify({ type: 'connection_init', payload: anyInit(random) }));
        for (const input of inputs) socket.send(input);
        // Answered after all that came before it, if nothing before closed the socket.
        socket.send('{"type":"ping","payload":{"last":true}}');
        const answered = new Promise<void>(resolve =>
          socket.on('message', () => received.at(-1)?.payload?.last === true && resolve()),
        );
        await Promise.race([answered, closed]);
        if (socket.readyState === WebSocket.OPEN) socket.close();
        const code = await closed;
        assert.ok(CLOSE_CODES.has(code), `closed with ${code}: ${JSON.stringify(inputs)}`);
        for (const { type, payload } of received) {
          if (type === 'error') assertCoded(payload, inputs);
          if (type === 'next' && payload.errors) assertCoded(payload.errors, inputs);
        }
        return inputs.length;
      },
    };
  },
};

function anyMessage(random: Random, id: string, place: number): string {
  if (random.chance(0.01)) return anyText(random, 30);
  const message = {
    id: random.chance(0.95)
      ? `${random.chance(0.9) ? place : random.between(0, place)}`
      : anyJson(random, 1),
    type: random.chance(0.97)
      ? random.pick(TYPES.slice(0, 7))
      : random.pick([...TYPES, anyJson(random, 0)]),
    payload: random.chance(0.97) ? anyOperation(random, id) : anyJson(random),
  };
  const text = JSON.stringify(message);
  return random.chance(0.98) ? text : mutateText(random, text, 1);
}

function anyInit(random: Random): unknown {
  return random.chance(0.5)
    ? undefined
    : random.pick([
        { authorization: anyText(random) },
        { headers: anyJson(random) },
        { token: anyJson(random, 1) },
        anyJson(random),
      ]);
}

/** A frame as a client sends it, masked. */
function toFrame(opcode: number, payload: Buffer): Buffer {
  const mask = Buffer.from([1, 2, 3, 4]);
  const length =
    payload.length < 126
      ? Buffer.from([0x80 | payload.length])
      : Buffer.from([0x80 | 126, payload.length >> 8, payload.length & 0xff]);
  const masked = payload.map((byte, place) => byte ^ mask[place % 4]!);
  return Buffer.concat([Buffer.from([0x80 | opcode]), length, mask, masked]);
}

/** Bytes of frames, some of them broken: the socket is closed or goes on, and others are served. */
const frames: FuzzTarget = {
  name: 'websocket frames',
  share: 7,
  async open(lifetime) {
    const gateway = await openFuzzedGateway(lifetime);
    return {
      checkHealth: gateway.checkHealth,
      async run(random) {
        const { socket, closed } = await openSocket(gateway.url);
        const inputs = Array.from({ length: 8 }, () => {
          const text = random.pick([
            '{"type":"connection_init"}',
            '{"type":"ping"}',
            anyMessage(random, gateway.id, 1),
            '',
          ]);
          const frame = toFrame(random.pick([0, 1, 1, 1, 2, 3, 8, 9, 10, 15]), Buffer.from(text));
          return random.chance(0.6) ? frame : mutateBytes(random, frame);
        });
        // What follows a broken frame may be taken for the rest of it; the end of the connection ends that.
        const raw = (socket as unknown as { _socket: Socket })._socket;
        raw.end(Buffer.concat(inputs));
        const code = await closed;
        assert.ok(
          CLOSE_CODES.has(code),
          `closed with ${code}: ${Buffer.concat(inputs).toString('hex')}`,
        );
        return inputs.length;
      },
    };
  },
};

export const SOCKET_TARGETS: readonly FuzzTarget[] = [messages, frames];

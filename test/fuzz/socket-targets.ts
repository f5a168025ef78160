import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { Random } from '../../src/sandbox/random.ts';
import { anyOperation } from './documents.ts';
import { type FuzzTarget, assertCoded, severally } from './fuzz-target.ts';
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

const AT_ONCE = 8;

/**
 * Opens a socket, and resolves once its `connection_init` is acknowledged, or it is closed for
 * that.
 */
async function openSocket(url: string, init?: string) {
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
  const messages: any[] = [];
  socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString())));
  socket.on('error', () => {});
  const closed = new Promise<number>(resolve => socket.once('close', resolve));
  await once(socket, 'open');
  if (init !== undefined) {
    socket.send(init);
    await Promise.race([once(socket, 'message'), closed]);
  }
  return { socket, messages, closed };
}

/**
 * Messages of graphql-transport-ws: a socket answers them, or is closed with a code that says why.
 */
const messages: FuzzTarget = {
  name: 'websocket messages',
  share: 150,
  async open(lifetime) {
    const gateway = await openFuzzedGateway(lifetime);
    return {
      checkHealth: gateway.checkHealth,
      run: random => severally(random, AT_ONCE, converse),
    };

    async function converse(random: Random): Promise<number> {
      const payload = anyInit(random);
      const init = random.chance(0.95)
        ? JSON.stringify({ type: 'connection_init', payload })
        : undefined;
      // The first message that is not one of the protocol closes the socket.
      const share = random.pick([0, 0, 0.1]);
      const inputs = Array.from({ length: 25 }, (_, place) =>
        anyMessage(random, gateway.id, place, share),
      );
      const { socket, messages: received, closed } = await openSocket(gateway.url, init);
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
    }
  },
};

/** `share` of the messages are none of the protocol. */
function anyMessage(random: Random, id: string, place: number, share: number): string {
  const message: Record<string, unknown> = {
    id: `${place}`,
    type: random.pick(TYPES.slice(0, 7)),
    payload: anyOperation(random, id),
  };
  // Of an operation before it, which may be under way.
  if (message['type'] === 'complete') message['id'] = `${random.between(0, place)}`;
  if (!random.chance(share)) return JSON.stringify(message);
  return random.pick([
    () => anyText(random, 30),
    () => mutateText(random, JSON.stringify(message), 1),
    () => JSON.stringify({ ...message, id: `${random.between(0, place)}` }),
    () => JSON.stringify({ ...message, id: anyJson(random, 1) }),
    () => JSON.stringify({ ...message, type: random.pick([...TYPES, anyJson(random, 0)]) }),
    () => JSON.stringify({ ...message, payload: anyJson(random) }),
  ])();
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

/** A frame as a client sends it, masked. `isLast`: it is the last of its message. */
function toFrame(opcode: number, payload: Buffer, isLast = true): Buffer {
  const mask = Buffer.from([1, 2, 3, 4]);
  const length =
    payload.length < 126
      ? Buffer.from([0x80 | payload.length])
      : Buffer.from([0x80 | 126, payload.length >> 8, payload.length & 0xff]);
  const masked = payload.map((byte, place) => byte ^ mask[place % 4]!);
  return Buffer.concat([Buffer.from([(isLast ? 0x80 : 0) | opcode]), length, mask, masked]);
}

/** A message in one frame or two, or a ping or pong. `share` of the frames are broken. */
function anyFrame(random: Random, id: string, place: number, share: number): Buffer {
  const message = Buffer.from(anyMessage(random, id, place, share / 2));
  if (random.chance(share)) {
    const frame = toFrame(random.pick([0, 1, 1, 2, 3, 8, 9, 10, 15]), message);
    return random.chance(0.3) ? frame : mutateBytes(random, frame);
  }
  const control = () => toFrame(random.pick([9, 10]), Buffer.from(anyText(random, 30)));
  if (random.chance(0.2)) return control();
  if (random.chance(0.7)) return toFrame(1, message);
  const at = random.between(0, message.length);
  return Buffer.concat([
    toFrame(1, message.subarray(0, at), false),
    random.chance(0.3) ? control() : Buffer.alloc(0),
    toFrame(0, message.subarray(at)),
  ]);
}

/** Bytes of frames, some of them broken: the socket is closed or goes on, and others are served. */
const frames: FuzzTarget = {
  name: 'websocket frames',
  share: 60,
  async open(lifetime) {
    const gateway = await openFuzzedGateway(lifetime);
    return {
      checkHealth: gateway.checkHealth,
      run: random => severally(random, AT_ONCE, converse),
    };

    async function converse(random: Random): Promise<number> {
      const init = random.chance(0.7) ? '{"type":"connection_init"}' : undefined;
      // The first broken frame closes the socket.
      const share = random.pick([0, 0.1, 0.4]);
      const inputs = Array.from({ length: 8 }, (_, place) =>
        anyFrame(random, gateway.id, place, share),
      );
      const { socket, closed } = await openSocket(gateway.url, init);
      // What follows a broken frame may be taken for the rest of it; the end of the connection ends
      // that.
      const raw = (socket as unknown as { _socket: Socket })._socket;
      raw.end(Buffer.concat(inputs));
      const code = await closed;
      assert.ok(
        CLOSE_CODES.has(code),
        `closed with ${code}: ${Buffer.concat(inputs).toString('hex')}`,
      );
      return inputs.length;
    }
  },
};

export const SOCKET_TARGETS: readonly FuzzTarget[] = [messages, frames];

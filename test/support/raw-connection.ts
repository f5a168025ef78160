import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import type { TestContext } from 'node:test';
import { until } from './until.ts';

/** An answer as it was received; the names of its headers in lower case. */
export interface RawAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** A connection of HTTP/1.1, written to and read as it is. */
export async function openConnection(t: TestContext, url: string) {
  const { port, hostname } = new URL(url);
  const socket: Socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
  t.after(() => socket.destroy());
  let received = '';
  let failure: Error | null = null;
  let hasEnded = false;
  socket.on('data', data => (received += data.toString('latin1')));
  socket.on('error', error => (failure = error));
  socket.on('end', () => (hasEnded = true));
  await once(socket, 'connect');
  return {
    socket,
    write: (text: string | Buffer) => void socket.write(text),
    hasEnded: () => hasEnded,
    failure: () => failure,
    /** The next whole answer, interim ones left out. */
    async answer(): Promise<RawAnswer> {
      for (;;) {
        await until(() => received.includes('\r\n\r\n') || failure !== null || hasEnded);
        const headEnd = received.indexOf('\r\n\r\n');
        assert.ok(headEnd >= 0, `no answer: ${failure?.message ?? 'the connection ended'}`);
        const [statusLine = '', ...lines] = received.slice(0, headEnd).split('\r\n');
        const status = Number(statusLine.split(' ')[1]);
        received = received.slice(headEnd + 4);
        if (status === 100) continue;
        const headers = Object.fromEntries(
          lines.map(line => {
            const [name = '', ...value] = line.split(': ');
            return [name.toLowerCase(), value.join(': ')];
          }),
        );
        return { status, headers, body: await readBody(headers) };
      }
    },
  };

  async function readBody(headers: Record<string, string>): Promise<string> {
    if (headers['transfer-encoding'] !== 'chunked')
      return take(Number(headers['content-length'] ?? 0));
    for (let body = ''; ;) {
      await until(() => received.includes('\r\n') || failure !== null);
      const size = Number.parseInt(received, 16);
      await take(received.indexOf('\r\n') + 2);
      body += await take(size);
      await take(2);
      if (size === 0) return body;
    }
  }

  async function take(length: number): Promise<string> {
    await until(() => received.length >= length || failure !== null || hasEnded);
    const taken = received.slice(0, length);
    received = received.slice(length);
    return taken;
  }
}

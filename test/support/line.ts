import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import type { TestContext } from 'node:test';

/** A connection to a server that a test can cut and restore, like that of a laptop in a tunnel. */
export interface Line {
  /** The server's URL by way of the line. */
  url: string;
  /** Closes every connection, and each that is opened before `restore`. */
  cut(): void;
  restore(): void;
}

/** Opens a line to a server on 127.0.0.1. */
export async function openLine(t: TestContext, url: string): Promise<Line> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer(near => {
    if (isCut) return near.destroy();
    const far = connect(Number(new URL(url).port), '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.pipe(other);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  t.after(() => {
    cut();
    server.close();
  });
  const lineUrl = new URL(url);
  lineUrl.port = String((server.address() as AddressInfo).port);
  return { url: lineUrl.href, cut, restore: () => void (isCut = false) };
}

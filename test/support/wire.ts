import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import type { TestContext } from 'node:test';

/**
 * A TCP proxy to a Redis that can be cut: open connections break, and new ones are not answered.
 */
export interface Wire {
  url: string;
  cut(): void;
  heal(): void;
}

export async function startWire(t: TestContext, redisUrl: string): Promise<Wire> {
  const { hostname, port } = new URL(redisUrl);
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer(near => {
    keep(near);
    if (isCut) return;
    const far = connect(Number(port), hostname);
    keep(far);
    near.pipe(far).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    breakAll();
    server.close();
  });
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut() {
      isCut = true;
      breakAll();
    },
    heal() {
      isCut = false;
      // Pending requests fail sooner this way.
      breakAll();
    },
  };

  function keep(socket: Socket): void {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  }

  function breakAll(): void {
    for (const socket of sockets) socket.destroy();
  }
}

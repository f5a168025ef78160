import { type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

// The least that a delivery can cost, for bench/fan-out.ts: it sends a text to every subscriber,
// over both transports.
const streams = new Set<ServerResponse>();
const sockets = new Set<WebSocket>();
const server = createServer((incoming, response) => {
  incoming.resume().on('end', () => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write(':\n\n');
    streams.add(response);
    response.on('close', () => streams.delete(response));
  });
});
new WebSocketServer({ server, perMessageDeflate: false }).on('connection', socket => {
  socket.on('message', (data: Buffer) => {
    const { type } = JSON.parse(data.toString()) as { type: string };
    if (type === 'connection_init') socket.send('{"type":"connection_ack"}');
    else sockets.add(socket);
  });
  socket.on('close', () => sockets.delete(socket));
  socket.on('error', () => {});
});
server.listen(0, '127.0.0.1', () =>
  process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql` }),
);
process.on('message', (message: 'cpu' | 'usage' | { publish: string }) => {
  if (typeof message === 'object') {
    for (const stream of streams) stream.write(message.publish);
    for (const socket of sockets) socket.send(message.publish);
    return;
  }
  const { user, system } = process.cpuUsage();
  if (message === 'usage') globalThis.gc?.();
  process.send?.({
    rssMb: process.memoryUsage().rss / 2 ** 20,
    cpuSeconds: (user + system) / 1e6,
    subscribers: streams.size + sockets.size,
  });
});

// Express: the gateway beside an application's own routes, WebSockets included.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { createGateway, readConfig } from 'task-status-gateway';

const gateway = await createGateway(readConfig(process.env));
const app = express();
app.get('/hello', (_request, response) => void response.send('Hello'));
// GraphQL at /graphql. Express need not parse its bodies.
app.all('/graphql{/stream}', gateway.handle);

const server = createServer(app);
server.on('upgrade', gateway.upgrade);
server.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () => {
  console.log(`Listening at http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
process.once('SIGTERM', () => {
  server.close();
  void gateway.close().then(() => server.closeAllConnections());
});

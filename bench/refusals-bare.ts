import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

// The least that a refusal can cost, for bench/refusals.ts.
const server = createServer((incoming, response) => {
  incoming
    .resume()
    .on('end', () =>
      response.writeHead(401, { 'content-type': 'application/json' }).end('{"errors":[]}'),
    );
});
server.listen(0, '127.0.0.1', () =>
  process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }),
);
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuSeconds: (user + system) / 1e6 });
});

import { once } from 'node:events';

/** The URL of a server of node:http on a free port of this machine. */
export async function listen(server, path = '') {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${server.address().port}${path}`;
}

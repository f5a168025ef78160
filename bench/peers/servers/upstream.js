import { createServer } from 'node:http';
import { listen } from './listen.js';
import { IDS, TASKS, rowOf } from './rows.js';

const PATH = '/task-status/v1';

/** The Task Status API with fixed tasks, without a limit, as fast as Node answers. */
export async function start() {
  const rows = Array.from({ length: TASKS }, (_, place) => JSON.stringify(rowOf(place)));
  const byId = new Map(IDS.map((id, place) => [id, Buffer.from(rows[place])]));
  const pages = new Map();
  let requests = 0;

  const server = createServer((request, response) => {
    requests++;
    const [path, search = ''] = request.url.split('?', 2);
    const body = path === PATH ? pageOf(search) : byId.get(path.slice(PATH.length + 1));
    if (body === undefined) response.writeHead(404).end('{}');
    else
      response
        .writeHead(200, {
          'content-type': 'application/json',
          'content-length': body.length,
        })
        .end(body);
  });
  server.keepAliveTimeout = 60_000;
  return { url: await listen(server), requests: () => requests };

  /** Pages of the whole list are kept; those of an `id in (…)` are put together. */
  function pageOf(search) {
    const query = new URLSearchParams(search);
    const filters = query.get('filters');
    if (filters !== null) {
      const found = filters.match(/[0-9a-f]{32}/g) ?? [];
      return Buffer.from(`[${found.map(id => byId.get(id)).join(',')}]`);
    }
    const limit = Number(query.get('limit') ?? 250);
    const offset = Number(query.get('offset') ?? 0);
    const key = `${offset} ${limit}`;
    const known =
      pages.get(key) ?? Buffer.from(`[${rows.slice(offset, offset + limit).join(',')}]`);
    pages.set(key, known);
    return known;
  }
}

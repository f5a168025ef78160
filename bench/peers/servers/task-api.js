import { Pool } from 'undici';

// What each request holds of an `id in (…)`: some 4,000 bytes of URL, as the gateway's own requests
// have.
export const IDS_PER_REQUEST = 90;

/** The few requests that the workloads need, over kept connections. */
export function createTaskApi(upstream) {
  const pool = new Pool(upstream, { connections: 100 });
  return {
    byId: (id, authorization) => get(`/task-status/v1/${id}`, authorization),
    byIds(ids, authorization) {
      const filter = `id in (${ids.map(id => `"${id}"`).join(',')})`;
      return get(`/task-status/v1?filters=${encodeURIComponent(filter)}&limit=250`, authorization);
    },
    newest: (limit, authorization) =>
      get(`/task-status/v1?limit=${limit}&sorters=-created`, authorization),
  };

  async function get(path, authorization) {
    const { statusCode, body } = await pool.request({
      method: 'GET',
      path,
      headers: { authorization },
    });
    if (statusCode !== 200) throw new Error(`Upstream answered ${statusCode}.`);
    return body.json();
  }
}

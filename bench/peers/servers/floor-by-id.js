import { startFloor } from './floor.js';

/** The floor that reads each task with a request of its own, as a gateway without batches does. */
export function start(upstream) {
  return startFloor(upstream, (api, ids, authorization) =>
    Promise.all(ids.map(id => api.byId(id, authorization))),
  );
}

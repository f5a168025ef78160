import autocannon, { type Options, type Result } from 'autocannon';

const QUERY = 'query Read($id: ID!) { taskStatus(id: $id) { id state percentComplete } }';

/** Reads these tasks one at a time, in turn, for as long and as fast as the options say. */
export function readTasks(
  url: string,
  ids: readonly string[],
  options: Omit<Options, 'url' | 'requests'>,
): Promise<Result> {
  let sent = 0;
  return autocannon({
    ...options,
    url,
    timeout: 30,
    verifyBody: body => /"taskStatus":\{"id":"[0-9a-f]{32}"/.test(String(body)),
    requests: [
      {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        setupRequest: request => ({
          ...request,
          body: JSON.stringify({ query: QUERY, variables: { id: ids[sent++ % ids.length] } }),
        }),
      },
    ],
  });
}

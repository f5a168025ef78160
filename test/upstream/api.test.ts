import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../src/errors.ts';
import { readSlice } from '../../src/session/paging.ts';
import { createApi } from '../../src/upstream/api.ts';
import type { Requests } from '../../src/upstream/request.ts';

const refusing: Requests = {
  send: async () => {
    throw new GatewayError('UNAUTHENTICATED', 'Upstream did not accept the token.');
  },
  reserve: async () => ({ settle() {}, isValid: () => true, cancel() {} }),
  pressure: () => 0,
};

for (const version of ['v1', 'v2024', 'beta'] as const)
  test(`${version}: a rejected token fails a read by id rather than making the task unreadable`, async () => {
    const api = createApi({ requests: refusing, version, basePath: '', maxUrlBytes: 4_000 });
    await assert.rejects(api.byIds(['x']), { code: 'UNAUTHENTICATED' });
  });

test('an id that fits into no request is BAD_USER_INPUT, wherever it is in the list', async () => {
  const api = createApi({ requests: refusing, version: 'v1', basePath: '', maxUrlBytes: 1_500 });
  const lists = { fits: api.fits, page: async () => ({ rows: [], total: 0 }) };
  const long = '€'.repeat(256);
  for (const ids of [[long], ['a', long], [long, 'a'], ['a', 'b', long, 'c']])
    await assert.rejects(
      readSlice(
        lists,
        {
          filter: { ids },
          order: 'CREATED_DESC',
          first: 1,
          after: null,
          selected: { tasks: true, hasNextPage: false, totalCount: false },
        },
        {},
      ),
      { code: 'BAD_USER_INPUT' },
    );
});

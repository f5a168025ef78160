import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serverAudits } from 'graphql-http';
import { startGateway } from '../support/start.ts';

test('every audit of GraphQL over HTTP passes', async t => {
  const { url } = await startGateway(t);
  const audits = serverAudits({ url });
  assert.ok(audits.length > 50);
  for (const audit of audits)
    await t.test(`${audit.id} ${audit.name}`, async () => {
      const result = await audit.fn();
      assert.equal(result.status, 'ok', 'reason' in result ? result.reason : '');
    });
});

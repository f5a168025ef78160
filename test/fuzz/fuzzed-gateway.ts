import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { createCapturedLog } from '../support/captured-log.ts';
import { startGateway } from '../support/start.ts';
import type { Lifetime } from './fuzz-target.ts';

const READ = 'query ($id: ID!) { taskStatus(id: $id) { id state } }';

/**
 * A gateway over an idle sandbox, with one task to read and no limits on how often it is called.
 */
export async function openFuzzedGateway(lifetime: Lifetime, env: Record<string, string> = {}) {
  const log = createCapturedLog();
  const gateway = await startGateway(lifetime as TestContext, {
    log,
    env: {
      MAX_MESSAGES_PER_SECOND: '1000000',
      MAX_SUBSCRIPTIONS_PER_CREDENTIAL: '100000',
      MAX_STALENESS_MS: '60000',
      ...env,
    },
  });
  const id = gateway.tenant.addTask({ queueMs: 0, runMs: 0 });
  const { hostname, port } = new URL(gateway.url);
  return {
    ...gateway,
    id,
    hostname,
    port: Number(port),
    /** A read is answered, and nothing was logged as an error since the last check. */
    async checkHealth() {
      const { status, data } = await gateway.query(READ, { id });
      assert.deepEqual([status, data?.taskStatus], [200, { id, state: 'COMPLETED' }]);
      const errors = log.lines.filter(({ level }) => level === 'error');
      assert.deepEqual(errors, []);
      log.lines.length = 0;
    },
  };
}

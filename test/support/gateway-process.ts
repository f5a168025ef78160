import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { firstLine, kill, spawnMain } from './process.ts';

/** A gateway in a process of its own. */
export interface GatewayProcess {
  url: string;
  kill(): Promise<void>;
}

/** Starts one over a tenant that runs already; `env` is more of its configuration. */
export async function startGatewayProcess(
  t: TestContext,
  sandbox: Sandbox,
  env: Record<string, string>,
): Promise<GatewayProcess> {
  const child = spawnMain(t, ['serve'], {
    SAIL_BASE_URL: sandbox.url,
    SAIL_CLIENT_ID: sandbox.client.id,
    SAIL_CLIENT_SECRET: sandbox.client.secret,
    AUTH_MODE: 'service',
    PORT: '0',
    LOG_LEVEL: 'silent',
    ...env,
  });
  const line = await firstLine(child);
  const [, url = ''] = /^GraphQL at (\S+), over/.exec(line) ?? assert.fail(line);
  return { url, kill: () => kill(child) };
}

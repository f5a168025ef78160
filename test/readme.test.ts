import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { readConfig } from '../src/config.ts';
import { startGateway } from '../src/gateway.ts';
import { startSandbox } from '../src/sandbox/sandbox.ts';
import { postGraphQL } from './support/start.ts';

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const EXAMPLES = [...README.matchAll(/```graphql\n(.*?)```\n\n```json\n(.*?)```/gs)];

/** The gateway as `npm start` has it, on ports of its own. */
async function startAsDocumented(t: TestContext) {
  const config = readConfig({ PORT: '0', SANDBOX_PORT: '0', LOG_LEVEL: 'silent' });
  const sandbox = await startSandbox(config.sandbox);
  t.after(() => sandbox.close());
  const gateway = await startGateway({
    ...config,
    baseUrl: new URL(sandbox.url),
    client: sandbox.client,
  });
  t.after(() => gateway.close());
  return gateway.url;
}

test('the queries of the README have the answers that it shows', async t => {
  const url = await startAsDocumented(t);
  assert.ok(EXAMPLES.length >= 5);
  for (const [, query = '', answer = ''] of EXAMPLES) {
    const { status: _, ...result } = await postGraphQL(url, query);
    // Of an error, the place in the document and the id of the request are left out there.
    for (const error of (result.errors ?? []) as Record<string, any>[]) {
      delete error['locations'];
      delete error['extensions'].upstream?.trackingId;
    }
    assert.deepEqual(result, JSON.parse(answer), query);
  }
});

test('the configuration table of the README names every variable there is', () => {
  const source = readFileSync(new URL('../src/config.ts', import.meta.url), 'utf8');
  const variables = [...source.matchAll(/^ {4}([A-Z][A-Z_]+):/gm)].map(([, name]) => name);
  assert.ok(variables.length > 20);
  assert.deepEqual(
    variables.filter(name => !README.includes(`\`${name}\``)),
    [],
  );
});

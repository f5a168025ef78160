import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { readConfig } from '../src/config.ts';
import { startGateway } from '../src/gateway.ts';
import { schema } from '../src/graphql/schema.ts';
import { printSubgraphSdl } from '../src/graphql/sdl.ts';
import { startSandbox } from '../src/sandbox/sandbox.ts';
import { compose } from '../examples/federation/compose.ts';
import { startRouter } from '../examples/federation/router.ts';
import { SANDBOX_SOURCES } from '../examples/federation/sandbox-sources.ts';
import { startSources } from '../examples/federation/sources.ts';
import { ATTACK_ROWS } from './security/attack-rows.ts';
import { postGraphQL } from './support/start.ts';
import { collect, subscribe } from './support/subscribe.ts';
import { TRANSPORTS } from './support/transports.ts';

const README = read('README.md');
const FEDERATION = read('docs/federation.md');
const DOCS = readdirSync(new URL('../docs/', import.meta.url)).filter(name => name.endsWith('.md'));

function read(file: string): string {
  return readFileSync(new URL(`../${file}`, import.meta.url), 'utf8');
}

/** The gateway as `npm start` runs it, on other ports. */
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

function examplesOf(text: string): { query: string; answer: unknown }[] {
  const pairs = text.matchAll(/```graphql\n(.*?)```\n\n```json\n(.*?)```/gs);
  return [...pairs].map(([, query = '', answer = '']) => ({ query, answer: JSON.parse(answer) }));
}

test('the queries of the README have the answers that it shows', async t => {
  const url = await startAsDocumented(t);
  const examples = examplesOf(README);
  assert.ok(examples.length >= 5);
  for (const { query, answer } of examples) {
    const { status: _, ...result } = await postGraphQL(url, query);
    // README omits the location of an error and the id of the request.
    for (const error of (result.errors ?? []) as Record<string, any>[]) {
      delete error['locations'];
      delete error['extensions'].upstream?.trackingId;
    }
    assert.deepEqual(result, answer, query);
  }
});

test('the queries of docs/federation.md have the answers that it shows, through its subgraphs and router', async t => {
  const tasks = await startAsDocumented(t);
  const sources = await startSources(SANDBOX_SOURCES);
  t.after(() => sources.close());
  const router = await startRouter({
    supergraphSdl: await compose({ tasks, sources: sources.url }),
  });
  t.after(() => router.close());
  const examples = examplesOf(FEDERATION);
  assert.equal(examples.length, 2);
  for (const { query, answer } of examples) {
    if (query.startsWith('subscription'))
      assert.deepEqual(await collect(subscribe(t, 'sse', router.url, query)), answer);
    else {
      const { status: _, ...result } = await postGraphQL(router.url, query);
      assert.deepEqual(result, answer);
    }
  }
});

test('the SDL has the directives that docs/federation.md says it has, and no others', () => {
  const sdl = printSubgraphSdl(schema);
  const rows = [...FEDERATION.matchAll(/^\| (.*?) \| (yes|no) \|/gm)];
  assert.ok(rows.length >= 10);
  for (const [, names = '', verdict] of rows) {
    if (names.includes('multiple')) continue;
    for (const [directive] of names.matchAll(/@\w+/g))
      assert.equal(new RegExp(`${directive}\\b`).test(sdl), verdict === 'yes', directive);
  }
});

test('docs/configuration.md names every variable', () => {
  const source = read('src/config/environment.ts');
  const variables = [...source.matchAll(/^ {2}([A-Z][A-Z_]+):/gm)].map(([, name]) => name);
  assert.ok(variables.length > 20);
  assert.deepEqual(
    variables.filter(name => !read('docs/configuration.md').includes(`\`${name}\``)),
    [],
  );
});

test('the table of docs/security.md has the attacks, transports and codes that the tests try', () => {
  const lines = read('docs/security.md').split('\n');
  const rows = lines
    .filter(line => line.startsWith('| ') && line.split('|').length === TRANSPORTS.length + 3)
    .map(line =>
      line
        .split('|')
        .map(cell => cell.trim())
        .slice(1, -1),
    );
  assert.deepEqual(rows[0], ['attack', ...TRANSPORTS]);
  const expected = ATTACK_ROWS.map(({ name, code, except }) => {
    const cells = TRANSPORTS.map(transport => {
      const answer = except?.[transport];
      if (answer === null) return '–';
      return typeof answer === 'number' ? `closed, ${answer}` : `\`${answer ?? code}\``;
    });
    return [name].concat(cells);
  });
  assert.deepEqual(rows.slice(2), expected);
});

test('every file that the documentation links to exists', () => {
  for (const page of [
    'README.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    ...DOCS.map(name => `docs/${name}`),
  ]) {
    const base = new URL(`../${page}`, import.meta.url);
    for (const [, target = ''] of read(page).matchAll(/\]\(([^)#]+)[^)]*\)/g))
      if (!/^[a-z]+:/.test(target))
        assert.ok(existsSync(new URL(target, base)), `${page}: ${target}`);
  }
});

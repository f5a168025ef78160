import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import {
  type ConcreteRequest,
  Environment,
  Network,
  type ReaderFragment,
  RecordSource,
  Store,
} from 'relay-runtime';
import { postGraphQL } from './start.ts';

const SCHEMA = new URL('../../schema.graphql', import.meta.url);
const DOCUMENTATION = new URL('../../docs/relay.md', import.meta.url);

/**
 * Compiles the text of `screen.js` with the settings of docs/relay.md. Returns its artifacts by
 * name.
 */
export async function compileRelay(t: TestContext, screen: string) {
  const folder = await mkdtemp(join(tmpdir(), 'relay-'));
  t.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, 'src'));
  await copyFile(SCHEMA, join(folder, 'schema.graphql'));
  await writeFile(join(folder, 'src/screen.js'), screen);
  const documented = /```json\n(.*?)```/s.exec(readFileSync(DOCUMENTATION, 'utf8'))?.[1] ?? '';
  // JavaScript, which can be loaded from outside of the project.
  const config = { ...JSON.parse(documented), language: 'javascript', eagerEsModules: false };
  await writeFile(join(folder, 'relay.json'), JSON.stringify(config));
  const compiler = createRequire(import.meta.url)('relay-compiler') as string;
  await promisify(execFile)(compiler, ['relay.json'], { cwd: folder });
  const artifacts = createRequire(join(folder, 'src/__generated__/'));
  return {
    request: (name: string) => artifacts(`./${name}.graphql.js`) as ConcreteRequest,
    fragment: (name: string) => artifacts(`./${name}.graphql.js`) as ReaderFragment,
  };
}

/** An environment of the gateway at `url`, as in docs/relay.md. */
export function createRelayEnvironment(url: string): Environment {
  return new Environment({
    network: Network.create(
      async ({ text }, variables) => (await postGraphQL(url, text ?? '', variables)) as never,
    ),
    store: new Store(new RecordSource()),
    getDataID: ({ nodeId }) => nodeId,
  });
}

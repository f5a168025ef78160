import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

interface LockedPackage {
  version?: string;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  hasInstallScript?: boolean;
}

const ROOT = new URL('../../', import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')) as {
  dependencies: Record<string, string>;
};
const lock = JSON.parse(readFileSync(new URL('package-lock.json', ROOT), 'utf8')) as {
  packages: Record<string, LockedPackage>;
};

test('no package that production needs runs a script when it is installed', () => {
  const paths = new Set<string>();
  for (const name of Object.keys(manifest.dependencies)) visit(name, '');
  assert.ok(paths.size > 30, `${paths.size} packages`);
  assert.deepEqual(
    [...paths].filter(path => lock.packages[path]?.hasInstallScript),
    [],
  );

  function visit(name: string, from: string): void {
    const path = locate(name, from);
    if (path === null || paths.has(path)) return;
    paths.add(path);
    const { dependencies, optionalDependencies } = lock.packages[path] ?? {};
    for (const needed of Object.keys({ ...dependencies, ...optionalDependencies }))
      visit(needed, path);
  }
});

test('npm run sbom lists what production needs and what the pages contain, and nothing of development', () => {
  const { stdout, stderr } = spawnSync('npm', ['run', '--silent', 'sbom'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const { bomFormat, components } = JSON.parse(stdout || assert.fail(stderr)) as {
    bomFormat: string;
    components: { name: string; group?: string }[];
  };
  const names = new Set(components.map(({ name, group }) => (group ? `${group}/${name}` : name)));
  assert.equal(bomFormat, 'CycloneDX');
  for (const name of Object.keys(manifest.dependencies)) assert.ok(names.has(name), name);
  for (const name of ['preact', 'graphql-sse', 'graphiql', 'react-dom', '@graphiql/react'])
    assert.ok(names.has(name), name);
  for (const name of ['typescript', 'oxlint', 'fast-check']) assert.ok(!names.has(name), name);
});

/** As Node finds it: beside the package, or beside one that holds it. */
function locate(name: string, from: string): string | null {
  for (let folder = from; ; folder = folder.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, '')) {
    const path = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
    if (lock.packages[path]) return path;
    if (folder === '') return null;
  }
}

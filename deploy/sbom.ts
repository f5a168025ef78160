import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BundledPackage } from '../src/browser/third-party.ts';

/*
 * Prints what production consists of, as CycloneDX. `npm sbom --omit dev` by itself leaves out
 * every package that a development dependency needs too, so it is given a manifest and a lock file
 * without those. Of libraries that are bundled into the pages, production has no package; they are
 * added from the list that the build wrote.
 */

type Json = Record<string, unknown>;

interface Sbom {
  components: Json[];
}

const ROOT = new URL('../', import.meta.url);
const directory = mkdtempSync(join(tmpdir(), 'sbom-'));
try {
  const { devDependencies: _, ...manifest } = read('package.json');
  const { packages, ...lock } = read('package-lock.json');
  const production = Object.entries(packages as Record<string, Json>)
    .filter(([, { dev }]) => dev !== true)
    .map(([path, locked]) => [path, path === '' ? manifest : locked]);
  write('package.json', manifest);
  write('package-lock.json', { ...lock, packages: Object.fromEntries(production) });
  const args = ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx', '--omit', 'dev'];
  const sbom = JSON.parse(execFileSync('npm', args, { cwd: directory, encoding: 'utf8' })) as Sbom;
  process.stdout.write(`${JSON.stringify(withBundled(sbom), null, 2)}\n`);
} finally {
  rmSync(directory, { recursive: true });
}

function withBundled(sbom: Sbom): Sbom {
  const known = new Set(sbom.components.map(({ purl }) => purl));
  const bundled = (read('dist/pages/bundled-packages.json') as unknown as BundledPackage[])
    .map(({ name, version, license }) => ({
      'bom-ref': `${name}@${version}`,
      type: 'library',
      name,
      version,
      scope: 'required',
      purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
      licenses: [
        / (OR|AND) /.test(license) ? { expression: license } : { license: { id: license } },
      ],
      properties: [{ name: 'bundled', value: 'dist/pages' }],
    }))
    .filter(({ purl }) => !known.has(purl));
  return { ...sbom, components: [...sbom.components, ...bundled] };
}

function read(file: string): Json {
  return JSON.parse(readFileSync(new URL(file, ROOT), 'utf8')) as Json;
}

function write(file: string, content: Json): void {
  writeFileSync(join(directory, file), JSON.stringify(content));
}

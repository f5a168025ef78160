import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/*
 * Prints what production consists of, as CycloneDX. `npm sbom --omit dev` by itself leaves out every package that
 * a development dependency needs too, so it is given a manifest and a lock file without those.
 */

type Json = Record<string, unknown>;

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
  process.stdout.write(execFileSync('npm', args, { cwd: directory, encoding: 'utf8' }));
} finally {
  rmSync(directory, { recursive: true });
}

function read(file: string): Json {
  return JSON.parse(readFileSync(new URL(file, ROOT), 'utf8')) as Json;
}

function write(file: string, content: Json): void {
  writeFileSync(join(directory, file), JSON.stringify(content));
}

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * The folder of the package, which has its package.json: the sources and the build lie at different
 * depths.
 */
export const PACKAGE_FOLDER = findPackage(import.meta.dirname);

/** The version of the package. */
export function readVersion(): string {
  const text = readFileSync(join(PACKAGE_FOLDER, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function findPackage(folder: string): string {
  const outer = dirname(folder);
  return existsSync(join(folder, 'package.json')) || outer === folder ? folder : findPackage(outer);
}

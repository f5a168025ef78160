import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** A library of which the pages contain code. */
export interface BundledPackage {
  name: string;
  version: string;
  /** An SPDX expression. */
  license: string;
}

/**
 * The libraries that these files belong to, and their notices as one text. Throws if one has no
 * license.
 */
export function readThirdParty(files: Iterable<string>): {
  packages: BundledPackage[];
  notices: string;
} {
  const folders = new Set([...files].flatMap(file => packageFolderOf(file) ?? []));
  const found = [...folders].map(folder => {
    const { name, version, license } = JSON.parse(
      readFileSync(join(folder, 'package.json'), 'utf8'),
    ) as Partial<BundledPackage>;
    if (!name || !version || !license) throw new Error(`${folder} does not name its license`);
    return { name, version, license, text: readNotice(folder) };
  });
  found.sort((a, b) => (`${a.name}@${a.version}` < `${b.name}@${b.version}` ? -1 : 1));
  return {
    packages: found.map(({ name, version, license }) => ({ name, version, license })),
    notices: found
      .map(({ name, version, license, text }) => `${name} ${version} (${license})\n\n${text}\n`)
      .join(`\n${'-'.repeat(80)}\n\n`),
  };
}

/** The folder with the package's own package.json; null for files that are not in a package. */
function packageFolderOf(file: string): string | null {
  const [, folder = null] = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file) ?? [];
  return folder;
}

/**
 * Some packages leave it to their license's name; those say who holds the copyright in package.json
 * only.
 */
function readNotice(folder: string): string {
  const file = readdirSync(folder).find(name => /^(licen[cs]e|copying)/i.test(name));
  if (file !== undefined) return readFileSync(join(folder, file), 'utf8').trim();
  const { author, repository } = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  ) as Record<string, unknown>;
  return `Copyright ${nameOf(author) || 'its authors'}. ${nameOf(repository)}`.trim();
}

/** An author or a repository, which is a text or an object with one. */
function nameOf(value: unknown): string {
  const parts: unknown[] =
    typeof value === 'object' && value !== null ? Object.values(value) : [value];
  return parts.find(part => typeof part === 'string' && part !== 'git')?.toString() ?? '';
}

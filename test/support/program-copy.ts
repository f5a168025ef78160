import { cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';

/** The folder of the project. */
export const PROJECT = new URL('../..', import.meta.url).pathname;

/** An empty folder that every user can read; removed after the test. */
export async function emptyFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Copies files and folders of the project to the same places below `folder`. */
export async function copyProject(folder: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await cp(join(PROJECT, path), join(folder, path), { recursive: true });
  }
}

/** Makes installed libraries available below `folder`; all of them, if no names are given. */
export async function linkLibraries(
  folder: string,
  names: readonly string[] = [''],
): Promise<void> {
  for (const name of names) {
    const link = join(folder, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(PROJECT, 'node_modules', name), link);
  }
}

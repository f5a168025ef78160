import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/**
 * Installs the peers' packages in this folder, if they are missing. They are no dependencies of the
 * gateway.
 */
export function installPeers(): void {
  const cwd = import.meta.dirname;
  if (existsSync(`${cwd}/node_modules`)) return;
  execFileSync('npm', ['ci', '--ignore-scripts'], { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
}

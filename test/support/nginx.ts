import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort } from './redis.ts';

const CONFIGURATION = new URL('../../deploy/nginx/nginx.conf', import.meta.url);

/**
 * Why tests that need nginx cannot run here; false where they can. CI has it, and skips nothing.
 */
export const WITHOUT_NGINX: string | false =
  spawnSync('nginx', ['-v']).status === 0 ? false : 'SKIPPED: there is no nginx on this machine';

/** nginx with the configuration of `deploy/`, before these instances. Resolves to its origin. */
export async function startNginx(
  t: Pick<TestContext, 'after'>,
  instances: readonly string[],
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'nginx-'));
  const port = await freePort();
  let text = readFileSync(CONFIGURATION, 'utf8').replace('listen 8080', `listen 127.0.0.1:${port}`);
  for (const [place, url] of instances.entries())
    text = text.replaceAll(`gateway-${place + 1}:4000`, new URL(url).host);
  assert.doesNotMatch(text, /gateway-\d/, 'nginx needs as many instances as its configuration');
  // What a test may not write to is in a folder of its own.
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(name => `${name}_temp_path ${folder}/${name};`)
    .join(' ');
  text = text.replace('http {', `http { access_log off; ${paths}`);
  writeFileSync(join(folder, 'nginx.conf'), `pid ${folder}/pid;\n${text}`);
  const files = ['-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')];
  const child = spawn('nginx', ['-p', folder, ...files, '-g', 'daemon off;']);
  t.after(async () => {
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
    rmSync(folder, { recursive: true });
  });
  await untilListening(port);
  return `http://127.0.0.1:${port}`;
}

async function untilListening(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const isOpen = await Promise.race([
      once(socket, 'connect').then(() => true),
      new Promise<boolean>(resolve => socket.once('error', () => resolve(false))),
    ]).catch(() => false);
    socket.destroy();
    if (isOpen) return;
    await wait(10);
  }
}

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Plugin, build } from 'esbuild';

/*
 * Bundles the program, dist/main.js, with the libraries that every start needs. Loaded one by one,
 * a thousand files of libraries took longer than all else that a start does. What applications
 * import, dist/gateway.js, is not bundled: it shares its libraries with them.
 *
 * `npm start` runs this after the compiler. Nothing is done if the compiler found no change.
 */

const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');
const MAIN = join(DIST, 'main.js');
// Loaded only where they are configured, and then from node_modules.
const EXTERNAL = [
  'ioredis',
  '@opentelemetry/exporter-trace-otlp-http',
  '@opentelemetry/resources',
  '@opentelemetry/sdk-trace-node',
];
// It maps the first line only. Of what it does not map, the bundle's map has nothing.
const NO_MAP = Buffer.from('{"version":3,"sources":[""],"mappings":"AAAA"}').toString('base64');

// Stack traces name the lines of our sources. Maps of the libraries would take 40 MB of memory.
const withoutMaps: Plugin = {
  name: 'without-maps',
  setup({ onLoad }) {
    onLoad({ filter: /\/node_modules\/.*\.[cm]?js$/ }, ({ path }) => ({
      contents: `${readFileSync(path, 'utf8')}\n//# sourceMappingURL=data:application/json;base64,${NO_MAP}`,
      loader: 'js',
    }));
  },
};

const origin = `// Bundled from ${fingerprintOf('dist/.tsbuildinfo', 'package-lock.json')}.`;
if (!readFileSync(MAIN, 'utf8').includes(origin)) {
  rmSync(join(DIST, 'chunks'), { recursive: true, force: true });
  await build({
    entryPoints: [join(ROOT, 'src/main.ts')],
    outdir: DIST,
    absWorkingDir: ROOT,
    bundle: true,
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    external: EXTERNAL,
    // Modules of CommonJS require modules of Node.
    banner: {
      js: `${origin}\nimport { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);`,
    },
    minifyWhitespace: true,
    sourcemap: true,
    sourcesContent: false,
    plugins: [withoutMaps],
    logLevel: 'warning',
  });
}

/**
 * A hash of what the bundle depends on: the sources, as the compiler saw them, and the versions of
 * the libraries.
 */
function fingerprintOf(...files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const path of files.map(file => join(ROOT, file)))
    if (existsSync(path)) hash.update(readFileSync(path));
  return hash.digest('hex').slice(0, 16);
}

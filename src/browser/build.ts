// Bundles the pages that browsers load, GraphiQL and the task board, into dist/pages, compressed in
// advance. Run by `npm run build` and before the tests.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { type Plugin, build } from 'esbuild';
import * as documents from './board/documents.ts';
import { readThirdParty } from './third-party.ts';

const BROWSER = import.meta.dirname;
const ROOT = join(BROWSER, '../..');
const OUT = join(ROOT, 'dist/pages');
const PAGES = ['board', 'graphiql'];

// GraphiQL's stylesheet embeds 270 kB of fonts. The fonts of the system do as well.
const withoutFonts: Plugin = {
  name: 'without-fonts',
  setup({ onLoad }) {
    onLoad({ filter: /graphiql\.css$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replaceAll(/@font-face\s*\{[^}]*\}/g, ''),
      loader: 'css',
    }));
  },
};

rmSync(OUT, { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: PAGES.map(page => ({ in: join(BROWSER, page, 'main.tsx'), out: page })),
  outdir: join(OUT, 'assets'),
  tsconfig: join(BROWSER, 'tsconfig.json'),
  absWorkingDir: ROOT,
  bundle: true,
  minify: true,
  splitting: true,
  format: 'esm',
  target: ['chrome109', 'firefox115', 'safari16.4'],
  // A name contains the hash of the file's content, so browsers may keep the file for ever.
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  define: { 'process.env.NODE_ENV': '"production"' },
  plugins: [withoutFonts],
  metafile: true,
  logLevel: 'warning',
});

// What is served of a library has its license beside it.
const { packages, notices } = readThirdParty(
  Object.keys(metafile.inputs).map(file => join(ROOT, file.replace(/^[\w-]+:/, ''))),
);
const hash = createHash('sha256').update(notices).digest('hex').slice(0, 8);
const licenses = `licenses-${hash.toUpperCase()}.txt`;
writeFileSync(join(OUT, 'assets', licenses), notices);
// For the SBOM: these are in no lock file's production part.
writeFileSync(join(OUT, 'bundled-packages.json'), JSON.stringify(packages));

for (const page of PAGES) {
  const output = Object.entries(metafile.outputs).find(
    ([, { entryPoint }]) => entryPoint === `src/browser/${page}/main.tsx`,
  );
  if (output === undefined) throw new Error(`No output for the page ${page}`);
  const [script, { cssBundle = '' }] = output;
  const html = readFileSync(join(BROWSER, page, 'page.html'), 'utf8')
    .replace('{script}', `assets/${basename(script)}`)
    .replace('{style}', `assets/${basename(cssBundle)}`)
    .replace('{licenses}', `assets/${licenses}`);
  writeFileSync(join(OUT, `${page}.html`), html);
}

// What the gateway executes for the board where it executes only documents that it knows.
writeFileSync(join(OUT, 'board-documents.json'), JSON.stringify(Object.values(documents)));

for (const file of readdirSync(OUT, { recursive: true, encoding: 'utf8' })) {
  if (!/\.(html|js|css|txt)$/.test(file)) continue;
  const content = readFileSync(join(OUT, file));
  writeFileSync(join(OUT, `${file}.gz`), gzipSync(content, { level: 9 }));
  const params = { [constants.BROTLI_PARAM_QUALITY]: 9 };
  writeFileSync(join(OUT, `${file}.br`), brotliCompressSync(content, { params }));
}

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, get as request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { startGateway } from '../support/start.ts';

const HTML = { accept: 'text/html' };

for (const [page, path] of Object.entries({ board: '/', graphiql: '/graphql' }))
  test(`the page of ${page} loads only files of the gateway, by relative URLs, compressed and cached`, async t => {
    const { url } = await startGateway(t);
    const { body, headers } = await get(new URL(path, url), HTML);
    assert.match(headers['content-security-policy'] ?? '', /default-src 'none'; script-src 'self'/);
    assert.equal(headers['cache-control'], 'no-cache');
    const html = body.toString();
    const assets = [...html.matchAll(/ (?:src|href)="([^"]+\.\w+)"/g)].map(([, name = '']) => name);
    // The script, the style and the licenses of the libraries in them.
    assert.equal(assets.length, 3);
    assert.doesNotMatch(html, /<script[^>]*>[^<]|<style|\sstyle=|\son\w+=/);
    for (const asset of assets) {
      // Relative, so that it works under a path of a proxy.
      assert.match(asset, /^assets\/[\w-]+\.(js|css|txt)$/);
      const assetUrl = new URL(asset, new URL(path, url));
      const plain = await get(assetUrl);
      assert.equal(plain.status, 200);
      assert.match(plain.headers['cache-control'] ?? '', /immutable/);
      const gzip = await get(assetUrl, { 'accept-encoding': 'gzip;q=1.0, br;q=0' });
      assert.deepEqual(gunzipSync(gzip.body), plain.body);
      const brotli = await get(assetUrl, { 'accept-encoding': 'gzip, deflate, br' });
      assert.deepEqual(brotliDecompressSync(brotli.body), plain.body);
      const again = await get(assetUrl, { 'if-none-match': plain.headers['etag'] ?? '' });
      assert.deepEqual([again.status, again.body.length], [304, 0]);
    }
  });

test('each page links the licenses of the libraries that it contains', async t => {
  const { url } = await startGateway(t);
  for (const path of ['/', '/graphql']) {
    const html = (await get(new URL(path, url), HTML)).body.toString();
    const [, link = ''] = /rel="license" href="([^"]+)"/.exec(html) ?? [];
    const { body, headers } = await get(new URL(link, new URL(path, url)));
    assert.match(headers['content-type'] ?? '', /^text\/plain/);
    for (const name of ['preact', 'graphql-sse', 'graphiql', 'react-dom', 'codemirror'])
      assert.match(body.toString(), new RegExp(`^${name} [\\d.]+ \\(MIT\\)$`, 'm'));
    assert.match(body.toString(), /Permission is hereby granted/);
  }
});

test('the board needs less than 100 kB', async t => {
  const { url } = await startGateway(t);
  assert.ok((await weigh(new URL('/', url))) < 100_000);
});

test('GraphiQL needs less than 500 kB', async t => {
  const { url } = await startGateway(t);
  assert.ok((await weigh(new URL('/graphql', url))) < 500_000);
});

test('BOARD=false leads from / to GraphiQL, by a relative URL', async t => {
  const { url } = await startGateway(t, { env: { BOARD: 'false' } });
  const { status, headers } = await get(new URL('/', url), HTML);
  assert.deepEqual([status, headers['location']], [307, 'graphql']);
});

test('without the board and GraphiQL, there is no page and no asset', async t => {
  const { url: origin } = await startGateway(t);
  const asset = /src="([^"]+)"/.exec((await get(new URL('/', origin))).body.toString())?.[1] ?? '';
  const { url } = await startGateway(t, { env: { BOARD: 'false', GRAPHIQL: 'false' } });
  for (const path of ['/', asset]) assert.equal((await get(new URL(path, url), HTML)).status, 404);
});

test('no file beside the pages can be fetched', async t => {
  const { url } = await startGateway(t);
  for (const path of [
    '/board.html',
    '/assets',
    '/assets/',
    '/assets/..%2fboard.html',
    '/assets/../../main.js',
    '/assets/__proto__',
  ])
    assert.equal((await get(new URL('/', url), {}, path)).status, 404, path);
});

test('a page is only served by a name that the gateway has', async t => {
  const { url } = await startGateway(t);
  const { status } = await get(new URL('/', url), { host: 'rebound.example.com' });
  assert.equal(status, 403);
});

/** Bytes that a browser receives for a page. */
async function weigh(page: URL): Promise<number> {
  const headers = { ...HTML, 'accept-encoding': 'gzip' };
  const { body } = await get(page, headers);
  const html = gunzipSync(body).toString();
  let bytes = body.length;
  for (const [, asset = ''] of html.matchAll(/ (?:src|href)="(assets\/[^"]+\.(?:js|css))"/g))
    bytes += (await get(new URL(asset, page), headers)).body.length;
  return bytes;
}

/** Sends `path` as it is; `fetch` would resolve its dots and set the Host header. */
async function get(url: URL, headers: Record<string, string> = {}, path = url.pathname) {
  const sent = request({ host: url.hostname, port: url.port, path, headers });
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return {
    status: response.statusCode,
    headers: response.headers as Record<string, string>,
    body: await buffer(response),
  };
}

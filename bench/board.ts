// What the pages cost in a browser: the first paint, the bytes, and the frames of a scroll through
// 5,000 tasks.
import { type Page, chromium } from 'playwright-core';
import { readConfig } from '../src/config.ts';
import { startGateway } from '../src/gateway.ts';
import { startSandbox } from '../src/sandbox/sandbox.ts';
import { openEmptyBox, traceScroll } from '../test/support/scroll-trace.ts';
import { at } from './subscribers.ts';

const TASKS = 5_000;
const LOADS = 7;
// 125 rows a second.
const SCROLL_PX = 55_000;
const SCROLL_SECONDS = 10;
const SCROLLS = 3;

const sandbox = await startSandbox({
  tasks: TASKS,
  newTaskEveryMs: null,
  oddities: false,
  rateLimit: Infinity,
});
const gateway = await startGateway({
  ...readConfig({ PORT: '0', LOG_LEVEL: 'silent', UPSTREAM_RATE_LIMIT: '100000' }),
  baseUrl: new URL(sandbox.url),
  client: sandbox.client,
});
const browser = await chromium.launch({
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
});
const board = `${new URL('/', gateway.url).href}?period=all`;
try {
  console.table([
    await load('the board', board, '.row'),
    await load('GraphiQL', gateway.url, '.graphiql-query-editor .CodeMirror-line'),
  ]);
  const scrolls = [];
  for (let run = 0; run < SCROLLS; run += 1) {
    scrolls.push(await scroll('the board', openBoard));
    // The frames that this machine draws at all.
    scrolls.push(await scroll('a page with an empty box', openEmptyBox));
  }
  console.table(scrolls);
} finally {
  await browser.close();
  await gateway.close();
  await sandbox.close();
}

async function load(name: string, url: string, usable: string) {
  const paints: number[] = [];
  const usables: number[] = [];
  let bytes = 0;
  for (let run = 0; run < LOADS; run += 1) {
    // A context of its own has an empty cache.
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(url);
    await page.locator(usable).first().waitFor();
    const [paint, now, sum] = await page.evaluate(() => [
      performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Number.NaN,
      performance.now(),
      [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
        .filter(entry => /\/(assets\/.*)?$|\/graphql$/.test(new URL(entry.name).pathname))
        .filter(entry => (entry as PerformanceResourceTiming).initiatorType !== 'fetch')
        .reduce((total, entry) => total + (entry as PerformanceResourceTiming).encodedBodySize, 0),
    ]);
    paints.push(paint ?? Number.NaN);
    usables.push(now ?? Number.NaN);
    bytes = sum ?? Number.NaN;
    await context.close();
  }
  return {
    page: name,
    'kB received': Math.round(bytes / 1_000),
    'first paint p50 ms': Math.round(at(paints, 0.5)),
    'usable p50 ms': Math.round(at(usables, 0.5)),
  };
}

/**
 * Scrolls smoothly through a quarter of the list, and counts the frames that the browser's trace
 * says it drew.
 */
async function scroll(name: string, open: (page: Page) => Promise<void>) {
  const page = await browser.newPage({ viewport: { width: 1_400, height: 800 } });
  await open(page);
  const { frames, framesPerSecond } = await traceScroll(
    page,
    SCROLL_PX,
    SCROLL_PX / SCROLL_SECONDS,
  );
  const shown = await page.locator('.row').count();
  const gaps = frames.slice(1).map((ms, index) => ms - (frames[index] ?? ms));
  await page.close();
  return {
    page: name,
    'rows in the document': shown,
    'frames a second': Math.round(framesPerSecond),
    'gap p50 ms': Math.round(at(gaps, 0.5)),
    'gap p99 ms': Math.round(at(gaps, 0.99)),
  };
}

async function openBoard(page: Page) {
  await page.goto(board);
  await page.locator('.sum').getByText('5,000 tasks shown').waitFor({ timeout: 60_000 });
}

import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type BrowserContextOptions, type Page, chromium } from 'playwright-core';

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const RESULTS = process.env['TEST_RESULTS'] ?? join(import.meta.dirname, '../../test-results');

/**
 * Why tests that need a browser cannot run here; false where they can. CI has it, and skips
 * nothing.
 */
export const WITHOUT_CHROMIUM: string | false = existsSync(CHROMIUM)
  ? false
  : 'SKIPPED: there is no Chromium on this machine, and CHROMIUM names none';

export interface WatchedPage {
  page: Page;
  /** Errors on the console, exceptions, and requests to any other host, which are blocked. */
  faults: string[];
}

/** A page in a headless browser, closed after the test. */
export async function openPage(
  t: Pick<TestContext, 'after'>,
  options: BrowserContextOptions = {},
): Promise<Page> {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  t.after(() => browser.close());
  const context = await browser.newContext({ viewport: { width: 1_400, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(120_000);
  return page;
}

/** A page that reaches loopback only, and keeps what goes wrong on it. */
export async function openWatchedPage(
  t: Pick<TestContext, 'after'>,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const page = await openPage(t, options);
  const faults: string[] = [];
  page.on('console', message => {
    if (message.type() === 'error') faults.push(message.text());
  });
  page.on('pageerror', error => faults.push(String(error)));
  await page.route(
    ({ protocol, hostname }) => protocol.startsWith('http') && hostname !== '127.0.0.1',
    async route => {
      faults.push(`A request to another host: ${route.request().url()}`);
      await route.abort();
    },
  );
  return { page, faults };
}

/** Writes a screenshot where CI keeps it. */
export async function takeScreenshot(page: Page, name: string): Promise<void> {
  mkdirSync(RESULTS, { recursive: true });
  await page.screenshot({ path: join(RESULTS, `${name}.png`) });
}

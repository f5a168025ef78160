import type { TestContext } from 'node:test';
import { type Page, chromium } from 'playwright-core';

/** A page of Debian's Chromium, closed after the test. */
export async function openPage(t: TestContext): Promise<Page> {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
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
  return browser.newPage();
}

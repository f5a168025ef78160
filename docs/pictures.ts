// Makes the pictures of the README from the running program: `npm run pictures`.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { readConfig } from '../src/config.ts';
import { startGateway } from '../src/gateway.ts';
import { startSandbox } from '../src/sandbox/sandbox.ts';

const PICTURES = join(import.meta.dirname, 'pictures');
const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
// Enough entries of a timeline to see that they come from polls.
const ENTRIES = 6;

const sandbox = await startSandbox({ speed: 2, newTaskEveryMs: 3_000 });
const gateway = await startGateway({
  ...readConfig({ PORT: '0', LOG_LEVEL: 'silent' }),
  baseUrl: new URL(sandbox.url),
  client: sandbox.client,
});
const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
});
try {
  mkdirSync(PICTURES, { recursive: true });
  const page = await browser.newPage({
    viewport: { width: 1_400, height: 800 },
    colorScheme: 'light',
  });
  await page.goto(new URL('/', gateway.url).href);
  await page.locator('.feed[data-phase="live"]').waitFor();
  const launch = sandbox.tenant.addTask({
    definitionType: 'CLOUD_ACCOUNT_AGGREGATION',
    queueMs: 2_000,
    runMs: 20_000,
    steps: 8,
    reportsPercent: true,
    message: null,
    status: 'SUCCESS',
  });
  await page.goto(`${new URL('/', gateway.url).href}?task=${launch}`);
  await page.locator('.timeline li').nth(ENTRIES).waitFor({ timeout: 60_000 });
  await page.screenshot({ path: join(PICTURES, 'board.png') });
  await page.locator('.timeline').getByText('Ended: success').waitFor({ timeout: 60_000 });
  await page.locator('.part:has(.timeline)').screenshot({
    path: join(PICTURES, 'timeline.png'),
  });
} finally {
  await browser.close();
  await gateway.close();
  await sandbox.close();
}

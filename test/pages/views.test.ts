import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { boardOf, expectAccessible, phase } from '../support/board.ts';
import { WITHOUT_CHROMIUM, openWatchedPage, takeScreenshot } from '../support/browser.ts';
import { startGateway, startSandbox } from '../support/start.ts';

const ENDLESS = { queueMs: 0, runMs: Number.MAX_SAFE_INTEGER };
const SIZES = { wide: { width: 1_400, height: 800 }, narrow: { width: 390, height: 844 } };

// Of GraphiQL's own markup, which cannot be changed from outside. Its tabs hold a button to close
// them, which is what the first two rules are about. An editor scrolls with the keys of its input,
// which stands beside what is scrolled.
const KNOWN = ['aria-required-children', 'nested-interactive', 'scrollable-region-focusable'];

for (const colorScheme of ['light', 'dark'] as const)
  for (const [size, viewport] of Object.entries(SIZES)) {
    const look = `${colorScheme}-${size}`;
    const keep = async (page: Page, view: string, known: readonly string[] = []) => {
      await takeScreenshot(page, `${view}-${look}`);
      await expectAccessible(page, known);
      // Nothing is cut off at the side.
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    };

    test(
      `axe finds nothing serious on any view of the ${colorScheme} ${size} board`,
      { skip: WITHOUT_CHROMIUM },
      async t => {
        const sandbox = await startSandbox(t, { rateLimit: Infinity });
        const { tenant } = sandbox;
        const { url, gateway } = await startGateway(t, { over: sandbox });
        const { page, faults } = await openWatchedPage(t, { colorScheme, viewport });
        await page.goto(boardOf(url));
        await page.getByText('No task was created').waitFor();
        await keep(page, 'empty');

        for (const status of ['SUCCESS', 'WARNING', 'ERROR', 'TERMINATED', 'TEMPERROR'])
          tenant.addTask({ queueMs: 0, runMs: 0, status });
        for (let count = 0; count < 20; count += 1) tenant.addTask({ queueMs: 0, runMs: 0 });
        tenant.addTask({ queueMs: Number.MAX_SAFE_INTEGER });
        const id = tenant.addTask({ ...ENDLESS, definitionType: 'CLOUD_ACCOUNT_AGGREGATION' });
        await page.getByRole('button', { name: '27 All' }).waitFor();
        await keep(page, 'list');

        await page.goto(`${boardOf(url)}?task=${id}`);
        await page.getByRole('heading', { name: 'Timeline' }).waitFor();
        await phase(page, 'live');
        await keep(page, 'detail');
        await page.getByText('Clear this task…').click();
        await page.getByText('It does not stop the job.').waitFor();
        await keep(page, 'clear');

        await page.goto(`${boardOf(url)}?task=none`);
        await page.getByRole('alert').waitFor();
        await keep(page, 'no-such-task');
        await page.goto(`${boardOf(url)}?source=x&period=range&from=2000-01-01`);
        await phase(page, 'live');
        await keep(page, 'range');
        assert.deepEqual(faults, []);

        await page.goto(boardOf(url));
        await phase(page, 'live');
        await gateway.close();
        await phase(page, 'stale');
        await keep(page, 'stale');
      },
    );

    test(
      `axe finds nothing serious where the ${colorScheme} ${size} board asks for a token, or is refused`,
      { skip: WITHOUT_CHROMIUM },
      async t => {
        const { page } = await openWatchedPage(t, { colorScheme, viewport });
        const closed = await startGateway(t, { env: { AUTH_MODE: 'passthrough' } });
        await page.goto(boardOf(closed.url));
        await page.getByRole('form', { name: 'Access token' }).waitFor();
        await keep(page, 'token');
        const old = await startGateway(t, { env: { UPSTREAM_API_VERSION: 'v2025' } });
        await page.goto(`${boardOf(old.url)}?launcher=System`);
        await phase(page, 'refused');
        await keep(page, 'refused');
      },
    );

    test(
      `axe finds nothing serious in the ${colorScheme} ${size} GraphiQL`,
      { skip: WITHOUT_CHROMIUM },
      async t => {
        const { url, tenant } = await startGateway(t);
        const id = tenant.addTask(ENDLESS);
        const { page, faults } = await openWatchedPage(t, { colorScheme, viewport });
        await page.goto(url);
        await page.locator('.graphiql-query-editor').getByText('taskStatuses').waitFor();
        await page.locator('.graphiql-execute-button').click();
        await page.locator('.result-window').getByText(id).waitFor();
        await keep(page, 'graphiql', KNOWN);
        await page.getByRole('button', { name: 'Show Documentation Explorer' }).click();
        await page.locator('.graphiql-doc-explorer').getByText('Root Types').waitFor();
        await keep(page, 'graphiql-docs', KNOWN);
        assert.deepEqual(faults, []);
      },
    );
  }

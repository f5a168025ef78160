import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { WITHOUT_CHROMIUM, openWatchedPage } from '../support/browser.ts';
import { startPathProxy } from '../support/path-proxy.ts';
import { environmentOver, fetchToken, startGateway, startSandbox } from '../support/start.ts';

const RUN = '.graphiql-execute-button';
const RESULT = '.result-window';

test(
  'GraphiQL runs an example query and a subscription to its end, with everything but the gateway blocked',
  { skip: WITHOUT_CHROMIUM },
  async t => {
    const { url, tenant } = await startGateway(t);
    const id = tenant.addTask({ queueMs: 0, runMs: Number.MAX_SAFE_INTEGER });
    const { page, faults } = await openWatchedPage(t);

    await openGraphiQL(page, url);
    await page.locator(RUN).click();
    await page.locator(RESULT).getByText(id).waitFor();

    await openExample(page, 'RealProgress');
    await setVariables(page, JSON.stringify({ id }));
    await page.locator(RUN).click();
    await page.locator(RESULT).getByText('RUNNING').waitFor();
    tenant.finish(id, 'WARNING');
    await page.locator(RESULT).getByText('COMPLETED').waitFor();
    // The button stops a running subscription, and runs an operation again once that has ended.
    await page.locator(`${RUN}[aria-label^="Execute"]`).waitFor();
    assert.deepEqual(faults, []);
  },
);

test('GraphiQL opens with an example of every need', { skip: WITHOUT_CHROMIUM }, async t => {
  const { url } = await startGateway(t);
  const { page } = await openWatchedPage(t);
  await openGraphiQL(page, url);
  assert.deepEqual(
    (await page.locator('.graphiql-tab').allInnerTexts()).map(text => text.trim()),
    [
      'RunningTasks',
      'OneTask',
      'LiveList',
      'RealProgress',
      'LastDay',
      'Failures',
      'Counts',
      'TasksOfSource',
      'ClearPendingTask',
    ],
  );
});

test(
  'GraphiQL sends the headers of its editor with subscriptions too',
  { skip: WITHOUT_CHROMIUM },
  async t => {
    const sandbox = await startSandbox(t, { rateLimit: Infinity });
    const id = sandbox.tenant.addTask({ queueMs: 0, runMs: 0 });
    const { url } = await startGateway(t, {
      over: sandbox,
      env: { ...environmentOver(sandbox), AUTH_MODE: 'passthrough' },
    });
    const { page } = await openWatchedPage(t);
    await openGraphiQL(page, url);
    await openExample(page, 'RealProgress');
    await setVariables(page, JSON.stringify({ id }));
    await page.getByRole('button', { name: 'Headers' }).click();
    const token = await fetchToken(sandbox);
    await fill(page, 'Headers', JSON.stringify({ authorization: `Bearer ${token}` }));
    await page.locator(RUN).click();
    await page.locator(RESULT).getByText('COMPLETED').waitFor();
  },
);

test('GraphiQL works under a path of a proxy', { skip: WITHOUT_CHROMIUM }, async t => {
  const { url, tenant } = await startGateway(t);
  const id = tenant.addTask({ queueMs: 0, runMs: Number.MAX_SAFE_INTEGER });
  const { page, faults } = await openWatchedPage(t);
  await openGraphiQL(page, `${await startPathProxy(t, url)}graphql`);
  await page.locator(RUN).click();
  await page.locator(RESULT).getByText(id).waitFor();
  assert.deepEqual(faults, []);
});

/** Waits for the editor: what is clicked before it is there has no effect. */
async function openGraphiQL(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await page.locator('.graphiql-query-editor').getByText('taskStatuses').waitFor();
}

async function openExample(page: Page, name: string): Promise<void> {
  await page.locator('.graphiql-tab').getByText(name).click();
}

const setVariables = (page: Page, text: string) => fill(page, 'Variables', text);

async function fill(page: Page, editor: string, text: string): Promise<void> {
  const area = page.locator(
    `section[aria-label="${editor}"] .graphiql-editor:not(.hidden) .CodeMirror`,
  );
  await area.click();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.insertText(text);
}

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { systemClock } from '../../src/clock.ts';
import { boardOf, phase } from '../support/board.ts';
import { WITHOUT_CHROMIUM, openWatchedPage, takeScreenshot } from '../support/browser.ts';
import { fetchToken, startGateway, startSandbox } from '../support/start.ts';

const ENDLESS = { queueMs: 0, runMs: Number.MAX_SAFE_INTEGER };
const DAY_MS = 86_400_000;
const options = { skip: WITHOUT_CHROMIUM };

test(
  'of more than 5,000 tasks, the board shows the newest 5,000, says how many there are, and is live',
  options,
  async t => {
    const { url, tenant } = await startGateway(t);
    tenant.addTasks(5_200, { queueMs: 0, runMs: 0 });
    const id = tenant.addTask({ ...ENDLESS, launcher: '0' });
    const { page, faults } = await openWatchedPage(t);
    // The order puts that task first.
    await page.goto(`${boardOf(url)}?period=all&sort=launcher`);
    await phase(page, 'live');
    await page.locator('.sum').getByText('The newest 5,000 of 5,201 tasks shown.').waitFor();
    await page.getByRole('button', { name: '5,201 All' }).waitFor();
    await takeScreenshot(page, 'board-thousands');
    tenant.finish(id, 'WARNING');
    await page.locator('.row').first().getByText('Warning').waitFor();
    tenant.addTask(ENDLESS);
    await page.locator('.sum').getByText('The newest 5,001').waitFor();

    // A filter with fewer of them has no such note.
    await page.getByRole('button', { name: 'Running' }).click();
    await page.locator('.sum').getByText('1 task shown').waitFor();
    assert.deepEqual(faults, []);
  },
);

for (const [name, shiftMs] of Object.entries({ ahead: 3 * DAY_MS, behind: -3 * DAY_MS }))
  test(
    `with a computer's clock three days ${name}, the board shows the last 24 hours of the gateway's`,
    options,
    async t => {
      let passedMs = -2 * DAY_MS;
      const clock = { ...systemClock, now: () => systemClock.now() + passedMs };
      const sandbox = await startSandbox(t, { rateLimit: Infinity, clock });
      const { tenant } = sandbox;
      // A task that is too old.
      tenant.addTask(ENDLESS);
      passedMs = 0;
      const { url } = await startGateway(t, { over: sandbox });
      const [id = ''] = tenant.addTasks(2, { ...ENDLESS, steps: 1_000 });
      const { page } = await openWatchedPage(t);
      await shiftClock(page, shiftMs);
      await page.goto(`${boardOf(url)}?task=${id}`);
      await page.locator('.sum').getByText('2 tasks shown').waitFor();
      await phase(page, 'live');
      const entries = page.locator('.timeline li');
      await entries.getByText('%').first().waitFor();
      const times = await page
        .locator('.timeline time')
        .evaluateAll(found => found.map(element => Date.parse(element.getAttribute('datetime')!)));
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
      );
      for (const time of times) assert.ok(Math.abs(time - Date.now()) < DAY_MS, String(time));
      assert.doesNotMatch(await page.locator('.detail').innerText(), /-\d+ s|\d d \d/);
    },
  );

test(
  'when the token expires, the board keeps its list, says as of when, and goes on with another token',
  options,
  async t => {
    let passedMs = 0;
    const clock = { ...systemClock, now: () => systemClock.now() + passedMs };
    const sandbox = await startSandbox(t, { rateLimit: Infinity, clock });
    const id = sandbox.tenant.addTask(ENDLESS);
    const { url } = await startGateway(t, { over: sandbox, env: { AUTH_MODE: 'passthrough' } });
    const { page } = await openWatchedPage(t);
    await page.goto(`${boardOf(url)}?period=all&task=${id}`);
    await enterToken(page, await fetchToken(sandbox));
    await phase(page, 'live');
    await page.getByRole('heading', { name: 'Timeline' }).waitFor();

    passedMs = 3_600_000;
    await phase(page, 'unauthenticated');
    assert.match(await page.locator('.feed').innerText(), /The list is as of/);
    assert.equal(await page.locator('.row').count(), 1);
    await takeScreenshot(page, 'board-expired');
    await enterToken(page, await fetchToken(sandbox));
    await phase(page, 'live');
    await page.getByRole('heading', { name: 'Timeline' }).waitFor();
    assert.equal(await page.getByRole('form', { name: 'Access token' }).count(), 0);
  },
);

test(
  'a tenant without tasks is said to have none, and its first task appears',
  options,
  async t => {
    const { url, tenant } = await startGateway(t);
    const { page, faults } = await openWatchedPage(t);
    await page.goto(boardOf(url));
    await page.getByText('No task was created in the last 24 hours.').waitFor();
    await page.getByLabel('Created').selectOption('all');
    await page.getByText('The tenant has no tasks yet.').waitFor();
    await page.getByRole('button', { name: '0 All' }).waitFor();
    tenant.addTask(ENDLESS);
    await page.locator('.row').getByText('Running').waitFor();
    assert.deepEqual(faults, []);
  },
);

test('the board works where only persisted documents are executed', options, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'documents-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const manifest = join(directory, 'documents.json');
  writeFileSync(manifest, JSON.stringify({ type: 'query Type { __typename }' }));
  const only = { PERSISTED_DOCUMENTS: manifest, PERSISTED_DOCUMENTS_ONLY: 'true' };
  const { url, tenant, query } = await startGateway(t, { env: only });
  const id = tenant.addTask(ENDLESS);
  const { page, faults } = await openWatchedPage(t);
  const sent = new Set<string>();
  page.on('request', request => {
    if (request.method() === 'POST') sent.add((request.postDataJSON() as { query: string }).query);
  });
  await page.goto(`${boardOf(url)}?status=RUNNING&task=${id}`);
  await phase(page, 'live');
  // The number comes from a query of counts.
  await page.getByRole('button', { name: '1 All' }).waitFor();
  await page.getByText('Clear this task…').click();
  await page.getByRole('button', { name: 'Clear the record' }).click();
  await page.getByRole('complementary').getByText('Ended: terminated').waitFor();
  assert.deepEqual(faults, []);

  // Only as they stand, and only where there is a board.
  const list = [...sent].find(text => text.includes('BoardTaskPage')) ?? '';
  const variables = { first: 1 };
  assert.equal((await query(list, variables)).errors, undefined);
  assert.equal((await query(`${list} `, variables)).errors?.[0]?.extensions['code'], 'FORBIDDEN');
  const without = await startGateway(t, { env: { ...only, BOARD: 'false' } });
  const { errors } = await without.query(list, variables);
  assert.equal(errors?.[0]?.extensions['code'], 'FORBIDDEN');
});

async function enterToken(page: Page, token: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Access token' }).fill(token);
  await page.keyboard.press('Enter');
}

/** Moves the page's clock, and no other. */
async function shiftClock(page: Page, shiftMs: number): Promise<void> {
  await page.addInitScript(shift => {
    const RealDate = Date;
    globalThis.Date = class extends RealDate {
      constructor(...parts: [] | [number | string | Date]) {
        if (parts.length === 0) super(RealDate.now() + shift);
        else super(...parts);
      }
      static override now() {
        return RealDate.now() + shift;
      }
    } as DateConstructor;
  }, shiftMs);
}

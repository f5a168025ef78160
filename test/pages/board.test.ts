import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boardOf, expectAccessible, phase } from '../support/board.ts';
import { WITHOUT_CHROMIUM, openWatchedPage, takeScreenshot } from '../support/browser.ts';
import { sendJson, startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { startPathProxy } from '../support/path-proxy.ts';
import { freePort } from '../support/redis.ts';
import { SPECIFIED_ROW } from '../support/row.ts';
import { fetchToken, startGateway, startSandbox } from '../support/start.ts';

const ENDLESS = { queueMs: 0, runMs: Number.MAX_SAFE_INTEGER };
const options = { skip: WITHOUT_CHROMIUM };

test(
  'the board follows a task from its launch to its end without a reload, with a filter on, through a restart of the gateway',
  options,
  async t => {
    const sandbox = await startSandbox(t, { rateLimit: Infinity });
    const env = { PORT: String(await freePort()) };
    const { url, gateway } = await startGateway(t, { over: sandbox, env });
    const { page, faults } = await openWatchedPage(t);
    await page.goto(`${boardOf(url)}?kind=CLOUD_GROUP_AGGREGATION`);
    await phase(page, 'live');
    await page.evaluate(() => Object.assign(window, { isTheSamePage: true }));

    sandbox.tenant.addTask({ ...ENDLESS, definitionType: 'CLOUD_REFRESH_ROLE' });
    const id = sandbox.tenant.addTask({ ...ENDLESS, definitionType: 'CLOUD_GROUP_AGGREGATION' });
    const rows = page.locator('.row');
    await rows.getByText('Running').waitFor();
    assert.equal(await rows.count(), 1);

    await gateway.close();
    await phase(page, 'stale');
    assert.equal(await rows.count(), 1);
    assert.match(await page.locator('.feed').innerText(), /The list is as of/);
    // This one ends while there is no gateway.
    sandbox.tenant.finish(id, 'WARNING');
    await startGateway(t, { over: sandbox, env });
    await phase(page, 'live');
    await rows.getByText('Warning').waitFor();

    sandbox.tenant.addTask({ ...ENDLESS, definitionType: 'CLOUD_GROUP_AGGREGATION' });
    await rows.getByText('Running').waitFor();
    assert.equal(await page.evaluate(() => 'isTheSamePage' in window), true);
    // A connection that fails is on the browser's console whatever a page does.
    assert.deepEqual(
      faults.filter(fault => !/net::ERR_/.test(fault)),
      [],
    );
  },
);

test(
  'after a reconnection, the board no longer shows what upstream no longer has',
  options,
  async t => {
    const sandbox = await startSandbox(t, { rateLimit: Infinity });
    const env = { PORT: String(await freePort()) };
    const { url, gateway } = await startGateway(t, { over: sandbox, env });
    const [gone = ''] = sandbox.tenant.addTasks(2, ENDLESS);
    const { page } = await openWatchedPage(t);
    await page.goto(boardOf(url));
    await phase(page, 'live');
    assert.equal(await page.locator('.row').count(), 2);
    await gateway.close();
    sandbox.tenant.remove(gone);
    await startGateway(t, { over: sandbox, env });
    await phase(page, 'live');
    await page.locator('.sum').getByText('1 task shown').waitFor();
  },
);

test(
  'filters, the order and the task stand in the URL, and Back restores them',
  options,
  async t => {
    const { url, tenant } = await startGateway(t);
    tenant.addTask({ ...ENDLESS, launcher: 'ada.admin' });
    tenant.addTask({ queueMs: 0, runMs: 0, status: 'ERROR', launcher: 'System' });
    const { page } = await openWatchedPage(t);
    await page.goto(boardOf(url));
    await phase(page, 'live');
    await page.getByRole('button', { name: /Running$/ }).click();
    await page.locator('.sum').getByText('1 task shown').waitFor();
    await page.getByRole('button', { name: 'Elapsed' }).click();
    await page.locator('.row').click();
    await page.getByRole('heading', { name: 'Timeline' }).waitFor();
    const { searchParams } = new URL(page.url());
    assert.equal(searchParams.get('status'), 'RUNNING');
    assert.equal(searchParams.get('sort'), 'elapsed');
    assert.match(searchParams.get('task') ?? '', /^\w+$/);

    await page.reload();
    await page.getByRole('heading', { name: 'Timeline' }).waitFor();
    await page.locator('.sum').getByText('1 task shown').waitFor();
    await page.goBack();
    await page.goBack();
    await page.goBack();
    await page.locator('.sum').getByText('2 tasks shown').waitFor();
  },
);

test('a filter that the upstream version cannot express is refused in words', options, async t => {
  const { url } = await startGateway(t, { env: { UPSTREAM_API_VERSION: 'v2025' } });
  const { page } = await openWatchedPage(t);
  await page.goto(`${boardOf(url)}?launcher=System`);
  await phase(page, 'refused');
  assert.match(await page.locator('.feed').innerText(), /launcher/);
});

test('the tiles count the tasks of each status', options, async t => {
  const { url, tenant } = await startGateway(t);
  tenant.addTasks(2, ENDLESS);
  tenant.addTasks(3, { queueMs: 0, runMs: 0, status: 'ERROR' });
  const { page } = await openWatchedPage(t);
  await page.goto(boardOf(url));
  await page.getByRole('button', { name: '5 All' }).waitFor();
  await page.getByRole('button', { name: '2 Running' }).waitFor();
  await page.getByRole('button', { name: '3 Error' }).click();
  // Now only the failures are in the list, and upstream counts the others.
  await page.locator('.sum').getByText('3 tasks shown').waitFor();
  await page.getByRole('button', { name: '2 Running' }).waitFor();
});

test(
  'the form that clears a task says that it does not stop the job, and clears the record',
  options,
  async t => {
    const { url, tenant } = await startGateway(t);
    const id = tenant.addTask(ENDLESS);
    const { page } = await openWatchedPage(t);
    await page.goto(`${boardOf(url)}?task=${id}`);
    await page.getByText('Clear this task…').click();
    await page.getByText('It does not stop the job.').waitFor();
    await page.getByRole('button', { name: 'Clear the record' }).click();
    await page.getByRole('complementary').getByText('Ended: terminated').waitFor();
  },
);

test(
  'in passthrough mode, the board asks for a token and keeps it in memory only',
  options,
  async t => {
    const sandbox = await startSandbox(t, { rateLimit: Infinity });
    sandbox.tenant.addTask(ENDLESS);
    const { url } = await startGateway(t, { over: sandbox, env: { AUTH_MODE: 'passthrough' } });
    const { page } = await openWatchedPage(t);
    await page.goto(boardOf(url));
    await page.getByRole('form', { name: 'Access token' }).waitFor();
    // Whether there are tasks is not known yet.
    assert.equal(await page.getByText('No task matches').count(), 0);
    const token = await fetchToken(sandbox);
    await page.getByRole('textbox', { name: 'Access token' }).fill(token);
    await page.keyboard.press('Enter');
    await phase(page, 'live');
    await page.locator('.row').waitFor();
    const kept = await page.evaluate(() =>
      JSON.stringify([localStorage, sessionStorage, document.cookie, location.href]),
    );
    assert.ok(!kept.includes(token));
    await page.reload();
    await page.getByRole('form', { name: 'Access token' }).waitFor();
  },
);

test('5,000 tasks are in the list, and a few dozen of them in the document', options, async t => {
  const { url, tenant } = await startGateway(t);
  tenant.addTasks(5_000, { queueMs: 0, runMs: 0 });
  const { page, faults } = await openWatchedPage(t);
  await page.goto(`${boardOf(url)}?period=all`);
  await page.locator('.sum').getByText('5,000 tasks shown').waitFor();
  assert.equal(await page.locator('[role="grid"]').getAttribute('aria-rowcount'), '5001');
  assert.ok((await page.locator('.row').count()) < 60);
  await page.locator('.row').first().focus();
  await page.keyboard.press('End');
  await page.locator('[aria-rowindex="5001"]:focus').waitFor();
  assert.ok((await page.locator('.row').count()) < 60);
  assert.deepEqual(faults, []);
});

test('the board works under a path of a proxy', options, async t => {
  const { url, tenant } = await startGateway(t);
  tenant.addTask(ENDLESS);
  const { page, faults } = await openWatchedPage(t);
  await page.goto(await startPathProxy(t, url));
  await phase(page, 'live');
  await page.locator('.row').click();
  await page.getByRole('heading', { name: 'Timeline' }).waitFor();
  assert.deepEqual(faults, []);
});

test('a hostile task is shown, and runs nothing', options, async t => {
  const markup = '<img src=x onerror="window.hasRun=true"><script>window.hasRun=true</script>';
  const rightToLeft = '\u202Eكلمة\u202E gnp.exe';
  const row = {
    ...SPECIFIED_ROW,
    uniqueName: markup,
    launcher: rightToLeft,
    description: `javascript:window.hasRun=true ${rightToLeft}`,
    target: { ...SPECIFIED_ROW.target, name: markup },
    created: new Date().toISOString(),
    messages: [
      { type: 'ERROR', key: markup, localizedText: { locale: 'en', message: 'x'.repeat(100_000) } },
      { type: 'ERROR', key: markup, localizedText: { locale: 'en', message: markup } },
    ],
    returns: [{ name: markup, attributeName: '__proto__' }],
    attributes: Object.fromEntries(
      Array.from({ length: 10_000 }, (_, place) => [`${markup}${place}`, markup]),
    ),
  };
  const upstream = await startHostileUpstream(t);
  upstream.respond = (response, { url = '' }) => {
    response.setHeader('x-total-count', '1');
    sendJson(response, 200, url.includes('offset=') && !url.includes('offset=0') ? [] : [row]);
  };
  const { url } = await startGatewayOver(t, upstream.url);
  const { page, faults } = await openWatchedPage(t);
  await page.goto(boardOf(url));
  await phase(page, 'live');
  await page.locator('.row').click();
  await page.getByRole('heading', { name: 'Definition' }).waitFor();
  await page.getByRole('button', { name: 'Show 100 more of 10,000' }).click();
  await takeScreenshot(page, 'board-hostile');
  await expectAccessible(page);
  assert.ok((await page.locator('.row').innerText()).includes(markup));
  assert.ok((await page.locator('.detail').innerText()).includes(markup));
  assert.ok((await page.locator('.detail *').count()) < 3_000);
  assert.equal(await page.locator('#board script, #board img').count(), 0);
  assert.equal(await page.evaluate(() => 'hasRun' in window), false);
  // The pane is as wide as it was, whatever stands in it.
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  assert.deepEqual(faults, []);
});

test('everything can be done with the keyboard', options, async t => {
  const { url, tenant } = await startGateway(t);
  tenant.addTasks(3, ENDLESS);
  const { page } = await openWatchedPage(t);
  await page.goto(boardOf(url));
  await phase(page, 'live');
  await page.getByRole('button', { name: 'Created' }).focus();
  await page.keyboard.press('Tab');
  await page.keyboard.press('ArrowDown');
  await page.locator('[aria-rowindex="3"]:focus').waitFor();
  await page.keyboard.press('Enter');
  await page.locator('.detail h2:focus').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('[aria-rowindex="3"]:focus').waitFor();
  assert.equal(await page.locator('.detail').count(), 0);
});

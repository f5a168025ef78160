import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WITHOUT_CHROMIUM, openPage } from '../support/browser.ts';
import { startGateway } from '../support/start.ts';

test(
  'GraphiQL runs a query and a subscription in a real browser, under a policy that nothing on the page violates',
  { skip: WITHOUT_CHROMIUM },
  async t => {
    const { url, tenant } = await startGateway(t);
    tenant.addTasks(3, { queueMs: 0, runMs: 86_400_000 });
    const page = await openPage(t);
    const violations: string[] = [];
    const foreign: string[] = [];
    page.on('console', message => {
      if (/Content Security Policy|Refused to/i.test(message.text()))
        violations.push(message.text());
    });
    page.on('request', request => {
      const { protocol, host } = new URL(request.url());
      if (protocol.startsWith('http') && host !== new URL(url).host) foreign.push(request.url());
    });
    await page.addInitScript(() =>
      document.addEventListener('securitypolicyviolation', event =>
        console.log(`Content Security Policy: ${event.violatedDirective} ${event.blockedURI}`),
      ),
    );
    const response = await page.goto(url, { waitUntil: 'load' });
    assert.match(response?.headers()['content-security-policy'] ?? '', /script-src 'self';/);

    // The button does nothing before the editor is loaded.
    const run = async (field: string) => {
      await page.locator('.graphiql-query-editor').getByText(field).first().waitFor();
      await page.locator('.graphiql-execute-button').click();
    };
    await run('taskStatuses');
    const result = page.locator('.result-window');
    await result.getByText('uniqueName').first().waitFor();
    assert.match(await result.innerText(), /"taskStatuses"/);

    const snapshot = encodeURIComponent(
      'subscription { taskStatusChanged(snapshot: true) { kind } }',
    );
    await page.goto(`${url}?query=${snapshot}`, { waitUntil: 'load' });
    await run('taskStatusChanged');
    await result.getByText('SNAPSHOT').first().waitFor();
    assert.deepEqual(violations, []);
    assert.deepEqual(foreign, []);
  },
);

test('a page of another site cannot frame GraphiQL', async t => {
  const { url } = await startGateway(t);
  const { headers } = await fetch(url, { headers: { accept: 'text/html' } });
  assert.match(headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/);
  assert.equal(headers.get('x-frame-options'), 'DENY');
});

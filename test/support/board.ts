import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The URL of the board of the gateway whose GraphQL endpoint this is. */
export const boardOf = (url: string) => new URL('/', url).href;

/** Waits until the list is live, stale, or in another phase. */
export const phase = (page: Page, name: string) =>
  page.locator(`.feed[data-phase="${name}"]`).waitFor();

/**
 * Fails if axe finds something serious on the page, besides the rules in `known`. Runs outside the
 * page's policy, which forbids inline scripts.
 */
export async function expectAccessible(page: Page, known: readonly string[] = []): Promise<void> {
  const found = (await page.evaluate(`(() => { ${AXE}; return axe.run(); })()`)) as {
    violations: { id: string; impact: string; nodes: { html: string }[] }[];
  };
  assert.deepEqual(
    found.violations
      .filter(({ id, impact }) => /serious|critical/.test(impact) && !known.includes(id))
      .map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]),
    [],
  );
}

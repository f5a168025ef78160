import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fetchToken, startGateway } from '../support/start.ts';
import { SEND, TRANSPORTS } from '../support/transports.ts';
import { ATTACK_ROWS } from './attack-rows.ts';

/** As where HOST is not loopback. */
const PRODUCTION = {
  AUTH_MODE: 'passthrough',
  GRAPHIQL: 'false',
  INTROSPECTION: 'false',
  SUGGESTIONS: 'false',
  SUBSCRIPTION_CALLBACK_HOSTS: '127.0.0.1',
};

for (const { name, body, authorization, code, except, env } of ATTACK_ROWS)
  test(`${name}: refused with a code over each transport, and the next caller is served`, async t => {
    const directory = mkdtempSync(join(tmpdir(), 'attacks-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const manifest = join(directory, 'documents.json');
    writeFileSync(manifest, JSON.stringify({ listed: '{ __typename }' }));
    const { sandbox, url } = await startGateway(t, {
      env: {
        ...PRODUCTION,
        ...(env?.['PERSISTED_DOCUMENTS_ONLY'] && { PERSISTED_DOCUMENTS: manifest }),
        ...env,
      },
    });
    const good = `Bearer ${await fetchToken(sandbox)}`;
    for (const transport of TRANSPORTS) {
      const expected = except?.[transport] === undefined ? code : except[transport];
      if (expected === null) continue;
      const answer = await SEND[transport](
        url,
        body,
        authorization === 'good' ? good : (authorization ?? undefined),
      );
      const found = typeof expected === 'number' ? [answer.status] : [...new Set(answer.codes)];
      assert.deepEqual(
        found,
        [expected],
        `${transport}: ${answer.status} ${answer.text.slice(0, 300)}`,
      );
      assert.ok(answer.text.length < 1_000, `${transport}: one short refusal`);
      if (answer.status !== null && answer.status < 1_000)
        assert.ok(answer.status < 500, `${transport}: ${answer.status}`);
      const next = await SEND.POST(url, { query: '{ __typename }' }, good);
      assert.equal(next.text, '{"data":{"__typename":"Query"}}');
    }
    assert.deepEqual(sandbox.journal.requests, [], 'nothing of a budget is spent');
  });

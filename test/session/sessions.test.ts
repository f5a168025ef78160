import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Session } from '../../src/session/session.ts';
import { createSessions } from '../../src/session/sessions.ts';
import { createCallerCredential, readCallerToken } from '../../src/upstream/credentials.ts';
import { HandClock } from '../support/hand-clock.ts';

function setUp() {
  const clock = new HandClock();
  const closed: string[] = [];
  const watching = new Set<string>();
  const sessions = createSessions({
    clock,
    open: ({ key }) =>
      ({
        progress: {
          get size() {
            return watching.has(key) ? 1 : 0;
          },
        },
        close: () => closed.push(key),
      }) as unknown as Session,
  });
  return { clock, closed, watching, sessions };
}

test('a credential has one session for as long as it is used', () => {
  const { clock, closed, sessions } = setUp();
  const credential = credentialOf('token');
  const first = sessions.of(credential);
  clock.advance(10 * 60_000);
  assert.equal(sessions.of(credentialOf('token')), first);
  assert.notEqual(sessions.of(credentialOf('other')), first);
  clock.advance(10 * 60_000);
  assert.equal(sessions.of(credential), first);
  assert.deepEqual(closed, []);
});

test('an idle session is dropped, unless it has a subscriber', () => {
  const { clock, closed, watching, sessions } = setUp();
  const [idle, followed, next] = ['a', 'b', 'c'].map(token => credentialOf(token));
  sessions.of(idle!);
  const kept = sessions.of(followed!);
  watching.add(followed!.key);
  clock.advance(16 * 60_000);
  sessions.of(next!);
  assert.deepEqual(closed, [idle!.key]);
  assert.equal(sessions.of(followed!), kept);
});

test('the number of sessions is limited, whatever credentials callers send', () => {
  const { sessions, closed } = setUp();
  for (let count = 0; count < 6_000; count++) sessions.of(credentialOf(`token ${count}`));
  assert.ok(sessions.size <= 5_000);
  assert.equal(sessions.size + closed.length, 6_000);
});

function credentialOf(token: string) {
  return createCallerCredential(readCallerToken(token));
}

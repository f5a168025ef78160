import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRedisUrl } from '../../src/fleet/redis-url.ts';

const host = (name: string, port: number) => ({ host: name, port });

const FORMS: [url: string, expected: Partial<ReturnType<typeof readRedisUrl>>][] = [
  ['redis://cache', { kind: 'single', hosts: [host('cache', 6379)], isTls: false, db: 0 }],
  ['redis://cache:7000/3', { hosts: [host('cache', 7000)], db: 3 }],
  ['redis://[::1]:7000', { hosts: [host('::1', 7000)] }],
  ['rediss://ann:p%40ss@cache', { isTls: true, username: 'ann', password: 'p@ss' }],
  ['redis://:p@ss:100%@cache', { username: undefined, password: 'p@ss:100%' }],
  [
    'redis-cluster://a:1,b:2,c',
    { kind: 'cluster', hosts: [host('a', 1), host('b', 2), host('c', 6379)] },
  ],
  ['rediss+cluster://:x@a', { kind: 'cluster', isTls: true, password: 'x' }],
  [
    'redis-sentinel://a,b:2/main',
    { kind: 'sentinel', hosts: [host('a', 26_379), host('b', 2)], masterName: 'main', db: 0 },
  ],
  ['redis+sentinel://a/2?sentinelMasterId=main', { masterName: 'main', db: 2 }],
  ['redis-sentinel://a/main/2', { masterName: 'main', db: 2 }],
  ['redis-sentinel://a/2#main', { masterName: 'main', db: 2 }],
  [
    'rediss-sentinel://u:p@a/main?sentinelPassword=q',
    { isTls: true, username: 'u', password: 'p', sentinelPassword: 'q' },
  ],
];

for (const [url, expected] of FORMS)
  test(`REDIS_URL may be ${url}`, () => {
    assert.deepEqual({ ...readRedisUrl(url), ...expected }, readRedisUrl(url));
  });

test('the error for an invalid REDIS_URL does not repeat its password', () => {
  for (const url of [
    'http://:secret@cache',
    'redis://:secret@',
    'redis://:secret@a:1,b:2',
    'redis://:secret@cache:99999',
    'redis://:secret@cache/tasks',
    'redis-cluster://:secret@cache/1',
    'redis-sentinel://:secret@cache',
    'redis://:secret@ca che',
  ])
    assert.throws(
      () => readRedisUrl(url),
      ({ message }: Error) => message.startsWith('must ') && !message.includes('secret'),
      url,
    );
});

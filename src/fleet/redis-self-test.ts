import { RedisFaultError } from './redis-fault.ts';
import { CHANNELS, GENERATION_KEY, keysOf } from './redis-keys.ts';
import type { RedisSession } from './redis-session.ts';
import type { ScriptName } from './scripts.ts';

/** What a self-test leaves in Redis is gone after so long. */
const KEEP_MS = 5_000;
const RECEIVE_TIMEOUT_MS = 1_000;

/**
 * Runs every script on keys of its own, and sends a message to itself, so that a missing right or a Redis
 * that cannot do something is found at the start, not at the first request. It also loads the scripts.
 */
export async function testSession(
  session: RedisSession,
  { instanceId, generation }: { instanceId: string; generation: string },
  received: Promise<void>,
): Promise<void> {
  const channel = CHANNELS.selfTest(instanceId);
  const name = `self-test:${instanceId}`;
  const keys = keysOf(`${generation}:${name}`);
  const { slots, pause, last } = keys.budget(name);
  const { instances, settling, reserved } = keys;
  const ids = keys.idsOf(name, instanceId);
  const lease = keys.lease(name, name);
  const runs: [ScriptName, string[], (string | number)[]][] = [
    ['heartbeat', [instances, settling, reserved], [instanceId, KEEP_MS, KEEP_MS]],
    ['awaitInstances', [settling], [1, KEEP_MS]],
    [
      'take',
      [slots, pause, last, settling, instances, reserved],
      [2, KEEP_MS, 2, 'slot', KEEP_MS, channel, 0],
    ],
    ['keep', [slots], [KEEP_MS, channel, 'slot']],
    ['settle', [slots], ['slot', KEEP_MS, channel]],
    ['share', [slots, pause], [KEEP_MS, channel, 'other', KEEP_MS]],
    ['cancel', [slots], [channel, 'slot', 'other']],
    ['pause', [pause], [1, channel]],
    ['watchIds', [ids], [KEEP_MS, 1, 'added', 'removed']],
    ['watchedIds', [instances], [keys.idsOf(name, '')]],
    ['renewLeases', [ids, lease], [instanceId, KEEP_MS, KEEP_MS]],
    ['releaseLeases', [lease], [instanceId]],
    ['forgetIds', [ids], []],
    ['leave', [instances], [instanceId]],
  ];
  await session.subscribe([channel]);
  await Promise.all([
    // Of a generation that is not: it changes nothing.
    session.run('renewGeneration', [GENERATION_KEY], ['', '']),
    ...runs.map(([script, scriptKeys, args]) =>
      session.run(script, [GENERATION_KEY, ...scriptKeys], [generation, ...args]),
    ),
  ]);
  await session.publish(channel, Buffer.from('self-test'));
  await inTime(received);
  await session.unsubscribe(channel);
}

async function inTime(received: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new RedisFaultError('a message that was published did not come back')),
      RECEIVE_TIMEOUT_MS,
    );
  });
  try {
    await Promise.race([received, late]);
  } finally {
    clearTimeout(timer);
  }
}

import { RedisFaultError } from './redis-fault.ts';
import { CHANNELS, GENERATION_KEY, keysOf } from './redis-keys.ts';
import type { RedisSession } from './redis-session.ts';
import type { ScriptName } from './scripts.ts';

/** Keys that the self-test leaves in Redis expire after this time. */
const KEEP_MS = 5_000;
const RECEIVE_TIMEOUT_MS = 1_000;

/**
 * Runs every script on test keys and sends a message to itself. So a missing right or an unsuitable
 * Redis is found at the start rather than at the first request. This also loads the scripts.
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
    // No generation has this name, so this changes nothing.
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

import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { AWAIT_INSTANCES, HEARTBEAT } from './scripts.ts';

/** One instance's connection to the Redis of its fleet. While it is lost, the instance is alone. */
export interface RedisConnection {
  readonly instanceId: string;
  readonly isLost: boolean;
  /** Instances that were heard of when Redis last was, this one counted. */
  readonly instances: number;
  /** Rejects where Redis is lost, or is so by that. */
  run(script: string, keys: string[], args: (string | number)[]): Promise<unknown>;
  publish(channel: string, message: string): Promise<void>;
  /** Listens until `leave` is called, over every loss; `joined` resolves once it does, or Redis is lost. */
  subscribe(channel: string, receive: (message: string) => void): Subscription;
  /** A member is told when the connection is lost and found, until the function it returns is called. */
  join(member: Member): () => void;
  close(): Promise<void>;
}

/** A channel that is listened to. */
export interface Subscription {
  joined: Promise<void>;
  leave(): void;
}

/** A part that shares something over the connection. */
export interface Member {
  /** The connection is lost, once more perhaps before it was shared again: alone from here on. */
  lost(): void;
  /** Redis refuses connections, so that nobody has it: all are alone. */
  vanished(): void;
  /** It is back: says what the others have to know before anybody goes on. */
  report(): Promise<void>;
  /** Everything is shared again. */
  rejoined(): void;
}

export interface RedisConnectionOptions {
  url: string;
  clock: Clock;
  log: Log;
}

/** Every key is on one node of a cluster, and of this format: a gateway of another one has another fleet. */
export const KEY_PREFIX = '{task-status-gateway:1}';
export const INSTANCES_KEY = `${KEY_PREFIX}:instances`;
export const SETTLING_KEY = `${KEY_PREFIX}:settling`;

const COMMAND_TIMEOUT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 2_000;
const RECONNECT_MS = 250;
const HEARTBEAT_MS = 500;
// Killed, or cut off and gone on alone: nobody can tell. Until then its share of a budget is left to it.
const GONE_AFTER_MS = 30_000;

/** Rejects where Redis cannot be reached. */
export async function connectRedis(options: RedisConnectionOptions): Promise<RedisConnection> {
  const { url, clock, log } = options;
  // One that listens can do nothing else.
  const [commands, listener] = [openClient(url), openClient(url)];
  const instanceId = randomUUID();
  const members = new Set<Member>();
  const channels = new Map<string, (message: string) => void>();
  let instances = 1;
  // Until it is connected there is nothing to lose.
  let isOpen = false;
  let isLost = false;
  let isRejoining = false;
  let cancelHeartbeat = () => {};

  listener.on('message', (channel, message) => {
    try {
      channels.get(channel)?.(message);
    } catch (error) {
      // Thrown on from here it would end the process, over what another instance said.
      log.error({ err: error, channel }, 'a message could not be taken in');
    }
  });
  for (const client of [commands, listener]) {
    // Said by what follows it, too; unheard, it would be thrown.
    client.on('error', (error: NodeJS.ErrnoException) => {
      lose();
      if (isOpen && error.code === 'ECONNREFUSED') for (const member of members) member.vanished();
    });
    client.on('close', () => lose());
    client.on('ready', () => void rejoin());
  }
  try {
    await Promise.all([commands.connect(), listener.connect()]);
    await heartbeat();
    isOpen = true;
  } catch (cause) {
    disconnect();
    throw new Error('REDIS_URL: Redis cannot be reached there', { cause });
  }
  beatOn();

  return {
    instanceId,
    get isLost() {
      return isLost;
    },
    get instances() {
      return instances;
    },
    run,
    async publish(channel, message) {
      await orLose(commands.publish(channel, message));
    },
    subscribe(channel, receive) {
      channels.set(channel, receive);
      const joined = isLost ? Promise.resolve() : orLose(listener.subscribe(channel));
      return {
        joined: joined.then(
          () => {},
          () => {},
        ),
        leave() {
          channels.delete(channel);
          if (!isLost) orLose(listener.unsubscribe(channel)).catch(() => {});
        },
      };
    },
    join(member) {
      members.add(member);
      return () => void members.delete(member);
    },
    async close() {
      const isThere = isOpen && !isLost;
      isOpen = false;
      cancelHeartbeat();
      if (isThere)
        await commands
          .zrem(INSTANCES_KEY, instanceId)
          .catch(() => log.warn('Redis did not say goodbye'));
      disconnect();
    },
  };

  function run(script: string, keys: string[], args: (string | number)[]): Promise<unknown> {
    return orLose(commands.eval(script, keys.length, ...keys, ...args));
  }

  async function orLose<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      lose();
      throw error;
    }
  }

  async function heartbeat(): Promise<void> {
    const [count] = await Promise.all([
      commands.eval(HEARTBEAT, 1, INSTANCES_KEY, instanceId, GONE_AFTER_MS),
      // Its connection may be gone without the other's being so.
      listener.ping(),
    ]);
    instances = Math.max(1, Number(count));
  }

  function beatOn(): void {
    cancelHeartbeat = clock.after(HEARTBEAT_MS, () => {
      // Whoever is alone is not to be counted among those who have said what they spent.
      const beat = isLost ? Promise.resolve() : heartbeat();
      beat.catch(lose).finally(() => isOpen && beatOn());
    });
  }

  function lose(): void {
    if (isLost || !isOpen) return;
    isLost = true;
    log.warn({ instances }, 'Redis is lost; going on alone');
    for (const member of members) member.lost();
    // One that does not answer is left, too: what it says later is about nothing any more.
    for (const client of [commands, listener])
      if (client.status === 'ready') client.disconnect(true);
  }

  async function rejoin(): Promise<void> {
    const isReady = commands.status === 'ready' && listener.status === 'ready';
    if (!isLost || isRejoining || !isReady) return;
    isRejoining = true;
    try {
      await listenToAll();
      await commands.eval(AWAIT_INSTANCES, 1, SETTLING_KEY, instances, GONE_AFTER_MS);
      await Promise.all([...members].map(member => member.report()));
      await heartbeat();
      await listenToAll();
      isLost = false;
      log.info('Redis is back; rejoined');
      for (const member of members) member.rejoined();
    } catch {
      // Lost again, and whatever was told meanwhile is to be told again by the next connection.
      for (const member of members) member.lost();
      for (const client of [commands, listener])
        if (client.status === 'ready') client.disconnect(true);
    } finally {
      isRejoining = false;
    }
  }

  /** A channel that is opened while it goes on is listened to by its next turn: none is left out at the end. */
  async function listenToAll(): Promise<void> {
    const heard = new Set<string>();
    for (;;) {
      const missing = [...channels.keys()].filter(channel => !heard.has(channel));
      if (missing.length === 0) return;
      await listener.subscribe(...missing);
      for (const channel of missing) heard.add(channel);
    }
  }

  function disconnect(): void {
    commands.disconnect();
    listener.disconnect();
  }
}

function openClient(url: string): Redis {
  return new Redis(url, {
    lazyConnect: true,
    // What cannot be sent now is not wanted later: the local window has answered by then.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: () => RECONNECT_MS,
  });
}

import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { ClockWatch } from './clock-watch.ts';
import { RedisChannels } from './redis-channels.ts';
import { findServer } from './redis-discovery.ts';
import { RedisFaultError, toRedisFault } from './redis-fault.ts';
import { CHANNELS, GENERATION_KEY, keysOf } from './redis-keys.ts';
import { testSession } from './redis-self-test.ts';
import type { RedisMember } from './redis-member.ts';
import { type RedisSession, openSession } from './redis-session.ts';
import { readRedisUrl } from './redis-url.ts';
import type { ScriptName } from './scripts.ts';

/*
 * One instance's connection to the Redis of its fleet.
 *
 *   state         isDisconnected  scripts and messages    left by
 *   connected     no              go to the session       an error, a timeout, a missing or new generation, or a
 *                                                         step of Redis' clock → disconnected (onDisconnect)
 *   disconnected  yes             rejected, or dropped    a session that opens and passes the self-test →
 *                                                         rejoining; a single Redis that refuses the connection:
 *                                                         members get onServerDown
 *   rejoining     yes             go to the new session   all members have resynced → connected (onReconnect);
 *                                                         any error → disconnected
 *   closed        yes             rejected, or dropped
 *
 * A new connection is disconnected until its first session. `connectRedis` resolves when that session
 * is connected, or when it has failed and the instance may start without Redis. A session is never
 * reused after an error. Each attempt opens a new one, so late answers of an old session cannot be
 * mistaken for current ones.
 */
export interface RedisConnection {
  readonly instanceId: string;
  readonly isDisconnected: boolean;
  /** Why Redis is disconnected; null while it is connected. */
  readonly fault: string | null;
  /** The number of instances, including this one, at Redis' last answer. */
  readonly instances: number;
  /**
   * Whether the other instances have counted this one, so that they leave its share to it while it
   * is disconnected.
   */
  readonly isCounted: boolean;
  /** Names of the keys in the current generation. */
  readonly keys: ReturnType<typeof keysOf>;
  /**
   * Runs a script, with the generation added to its keys and arguments. Rejects if Redis is
   * disconnected; an error disconnects it.
   */
  run(script: ScriptName, keys: string[], args: (string | number)[]): Promise<unknown>;
  /** Publishes a message. Rejects as `run` does. */
  publish(channel: string, message: Buffer): Promise<void>;
  /**
   * Receives messages until `leave` is called, across reconnects. `joined` resolves once messages
   * arrive, or when Redis is disconnected.
   */
  subscribe(channel: string, receive: (message: Buffer) => void): Subscription;
  /**
   * Compares the clock of Redis with the one here. If it was set, returns false and disconnects.
   */
  isClockSteady(redisNow: number, sentAt: number): boolean;
  /**
   * Adds a member that is notified of changes of the connection. The returned function removes it.
   */
  join(member: RedisMember): () => void;
  close(): Promise<void>;
}

/** A subscription to a channel. */
export interface Subscription {
  joined: Promise<void>;
  leave(): void;
}

export interface RedisConnectionOptions {
  url: string;
  /** Whether a start while Redis is down continues without it or fails. */
  startup: 'continue' | 'require';
  clock: Clock;
  log: Log;
}

const FIRST_RETRY_MS = 20;
const RETRY_MS = 250;
const HEARTBEAT_MS = 500;
// A silent instance may have died, or it may continue without Redis. Its share of a budget is left
// to it for this time,
const EXPIRES_AFTER_MS = 30_000;
// and then a small part of the budget for this time.
const RESERVED_MS = 600_000;
// After this time all other instances have sent a heartbeat and so have counted a new one.
const COUNTED_AFTER_MS = 2_000;

/**
 * Connects to Redis. Rejects with an error that names REDIS_URL if no retry can help, or if Redis
 * is down and `startup` is `require`.
 */
export async function connectRedis(options: RedisConnectionOptions): Promise<RedisConnection> {
  const { url, startup, clock, log } = options;
  let target = readRedisUrl(url);
  const { kind } = target;
  const instanceId = randomUUID();
  const members = new Set<RedisMember>();
  const channels = new RedisChannels(log);
  const clockWatch = new ClockWatch();
  /** Reasons logged since the last connection, so that each is logged once. */
  const loggedReasons = new Set<string>();
  let session: RedisSession | null = null;
  let generation = '';
  let instances = 1;
  let countedFrom = Infinity;
  let heartbeatAt = -Infinity;
  let isDisconnected = true;
  let lastReason: string | null = null;
  let isClosed = false;
  let cancelTimer = () => {};

  // Keep only the fault. The client's error quotes the command, which may contain the password.
  const fault = await connect().then(() => null, toRedisFault);
  if (fault !== null && (fault.isFinal || startup === 'require')) {
    isClosed = true;
    throw new Error(`REDIS_URL: ${fault.reason}`);
  }
  if (fault !== null) {
    lastReason = fault.reason;
    loggedReasons.add(fault.reason);
    log.warn({ reason: fault.reason }, 'Redis cannot be used; starting without it');
    retryIn(RETRY_MS);
  }

  return {
    instanceId,
    get isDisconnected() {
      return isDisconnected;
    },
    get fault() {
      return isDisconnected ? (lastReason ?? 'Redis is not connected yet') : null;
    },
    get instances() {
      return instances;
    },
    get isCounted() {
      const now = clock.monotonic();
      return now >= countedFrom && now < heartbeatAt + EXPIRES_AFTER_MS / 2;
    },
    get keys() {
      return keysOf(generation);
    },
    run,
    publish: (channel, message) => orDisconnect(open => open.publish(channel, message)),
    subscribe(channel, receive) {
      channels.set(channel, receive);
      const joined = isDisconnected
        ? Promise.resolve()
        : orDisconnect(open => open.subscribe([channel]));
      return {
        joined: joined.catch(() => {}),
        leave() {
          channels.delete(channel);
          if (!isDisconnected) orDisconnect(open => open.unsubscribe(channel)).catch(() => {});
        },
      };
    },
    isClockSteady,
    join(member) {
      members.add(member);
      return () => void members.delete(member);
    },
    async close() {
      if (!isDisconnected)
        await run('leave', [keysOf(generation).instances], [instanceId]).catch(() => {});
      isClosed = true;
      isDisconnected = true;
      cancelTimer();
      session?.close();
      session = null;
    },
  };

  function run(script: ScriptName, keys: string[], args: (string | number)[]): Promise<unknown> {
    return orDisconnect(open => open.run(script, [GENERATION_KEY, ...keys], [generation, ...args]));
  }

  async function orDisconnect<T>(send: (open: RedisSession) => Promise<T>): Promise<T> {
    const current = session;
    if (current === null) throw new RedisFaultError('Redis is disconnected');
    try {
      return await send(current);
    } catch (error) {
      // An error of an earlier session says nothing about the current one.
      if (current === session) disconnect(error);
      throw error;
    }
  }

  /** Opens a session and rejoins the fleet with it. */
  async function connect(): Promise<void> {
    const found = await findServer(target);
    let onSelfTest = () => {};
    const received = new Promise<void>(resolve => (onSelfTest = resolve));
    const selfTestChannel = CHANNELS.selfTest(instanceId);
    const opened = await openSession(found.server, {
      target: found.target,
      onMessage(channel, message) {
        if (channel === selfTestChannel) onSelfTest();
        else channels.deliver(channel, message);
      },
      onBroken(error) {
        if (opened === session) disconnect(error);
      },
    });
    if (isClosed) return opened.close();
    target = found.target;
    session = opened;
    try {
      generation = String(await opened.run('join', [GENERATION_KEY], [randomUUID()]));
      await testSession(opened, { instanceId, generation }, received);
      await channels.subscribeAll(opened);
      const { settling } = keysOf(generation);
      await run('awaitInstances', [settling], [instances, EXPIRES_AFTER_MS]);
      await Promise.all([...members].map(member => member.resync()));
      await sendHeartbeat();
      await channels.subscribeAll(opened);
      if (opened !== session) throw new RedisFaultError('the connection was closed');
    } catch (error) {
      opened.close();
      if (opened === session) session = null;
      // Members continue without Redis. They write what they know to the next session.
      for (const member of members) member.onDisconnect({ mayHaveMissed: false });
      // If the user may not run INFO, this error is the first sign of a cluster.
      if (target.kind === 'single' && toRedisFault(error).isMoved) {
        target = { ...target, kind: 'cluster' };
        return connect();
      }
      throw error;
    }
    // The other instances may have dropped this one meanwhile. Then they must count it again.
    const now = clock.monotonic();
    if (now > heartbeatAt + EXPIRES_AFTER_MS / 2) countedFrom = now + COUNTED_AFTER_MS;
    heartbeatAt = now;
    isDisconnected = false;
    if (loggedReasons.size > 0) log.info('Redis is back; instances share their state again');
    loggedReasons.clear();
    for (const member of members) member.onReconnect();
    scheduleHeartbeat();
  }

  async function sendHeartbeat(): Promise<void> {
    const sentAt = clock.monotonic();
    const { instances: key, settling, reserved } = keysOf(generation);
    const args = [instanceId, EXPIRES_AFTER_MS, RESERVED_MS];
    const [answer] = await Promise.all([
      run('heartbeat', [key, settling, reserved], args),
      // One of the two connections may break without the other.
      orDisconnect(open => open.ping()),
    ]);
    const [count, redisNow] = answer as [number, number];
    instances = Math.max(1, count);
    if (!isClockSteady(redisNow, sentAt)) throw new RedisFaultError('the clock of Redis was set');
    if (!isDisconnected) heartbeatAt = sentAt;
  }

  function scheduleHeartbeat(): void {
    cancelTimer = clock.after(HEARTBEAT_MS, () => {
      // An error has disconnected the session by then, and the next attempt is scheduled.
      sendHeartbeat().then(scheduleHeartbeat, () => {});
    });
  }

  function isClockSteady(redisNow: number, sentAt: number): boolean {
    const stepMs = clockWatch.stepAt(redisNow, sentAt, clock.monotonic());
    if (stepMs === 0) return true;
    const reason = `the clock of Redis was set by ${Math.round(stepMs)} ms`;
    // Scores by the old time are invalid. Other instances that notice the step find the generation
    // renewed.
    session?.run('renewGeneration', [GENERATION_KEY], [generation, randomUUID()]).catch(() => {});
    disconnect(new RedisFaultError(reason));
    return false;
  }

  function disconnect(error: unknown): void {
    session?.close();
    session = null;
    // If this happens during a start or a rejoin, `connect` fails because of it.
    if (isDisconnected || isClosed) return;
    isDisconnected = true;
    cancelTimer();
    const { reason, isTimeout } = toRedisFault(error);
    lastReason = reason;
    loggedReasons.add(reason);
    log.warn({ reason, instances }, 'Redis is disconnected; this instance continues without it');
    for (const member of members) member.onDisconnect({ mayHaveMissed: isTimeout });
    retryIn(FIRST_RETRY_MS);
  }

  function retryIn(delayMs: number): void {
    cancelTimer = clock.after(delayMs, () => {
      connect().catch((error: unknown) => {
        if (isClosed) return;
        const { reason, isRefused } = toRedisFault(error);
        lastReason = reason;
        if (!loggedReasons.has(reason))
          log.warn({ reason }, 'Redis cannot be used; continuing without it');
        loggedReasons.add(reason);
        // In a cluster or with sentinels, other instances may already use another server.
        if (isRefused && kind === 'single' && target.kind === 'single')
          for (const member of members) member.onServerDown();
        retryIn(RETRY_MS);
      });
    });
  }
}

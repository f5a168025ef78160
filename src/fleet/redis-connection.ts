import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { ClockWatch } from './clock-watch.ts';
import { findServer } from './redis-discovery.ts';
import { RedisFaultError, toRedisFault } from './redis-fault.ts';
import { CHANNELS, GENERATION_KEY, keysOf } from './redis-keys.ts';
import { testSession } from './redis-self-test.ts';
import { type RedisSession, openSession } from './redis-session.ts';
import { readRedisUrl } from './redis-url.ts';
import type { ScriptName } from './scripts.ts';

/*
 * One instance's connection to the Redis of its fleet.
 *
 *   state      isLost  scripts and messages     left by
 *   connected  no      go to the session        a fault, a timeout, a forgotten or renewed generation, a
 *                                               step of Redis' clock → lost; members: onLost
 *   lost       yes     are rejected, dropped    a session that opens and passes the self-test → rejoining;
 *                                               one that is refused by a single Redis: members: onVanished
 *   rejoining  yes     go to the new session    all reported → connected; members: onRejoined
 *                                               any fault → lost, again
 *   closed     yes     are rejected, dropped
 *
 * A start is `lost` until its first session, and `connectRedis` resolves when that is connected, or once it
 * has failed and the instance may go on alone. A session is never mended: each attempt opens a new one, so
 * nothing that an old one still answers can be taken for an answer of now.
 */
export interface RedisConnection {
  readonly instanceId: string;
  readonly isLost: boolean;
  /** Instances that were known when Redis last answered, this one counted. */
  readonly instances: number;
  /** Whether the others counted this instance, so that they leave its share to it while Redis is lost. */
  readonly isCounted: boolean;
  /** Names of the keys, in the present generation. */
  readonly keys: ReturnType<typeof keysOf>;
  /** Rejects where Redis is lost, or is so by that. The generation is added to keys and arguments. */
  run(script: ScriptName, keys: string[], args: (string | number)[]): Promise<unknown>;
  /** Rejects as `run` does. */
  publish(channel: string, message: Buffer): Promise<void>;
  /** Receives until `leave` is called, over every loss; `joined` resolves once it does, or Redis is lost. */
  subscribe(channel: string, receive: (message: Buffer) => void): Subscription;
  /** Compares Redis' clock with the one here; false where it was set, by which Redis is lost. */
  isClockSteady(redisNow: number, askedAt: number): boolean;
  /** A member is told what becomes of the connection, until the function it returns is called. */
  join(member: Member): () => void;
  close(): Promise<void>;
}

/** A channel that messages are received from. */
export interface Subscription {
  joined: Promise<void>;
  leave(): void;
}

/** A part that shares something over the connection. */
export interface Member {
  /** Alone from here on; called again where an attempt to rejoin failed. `isDeaf`: the last messages may not have been received. */
  onLost(loss: { isDeaf: boolean }): void;
  /** Nothing listens where Redis was, so that nobody has it: all are alone. */
  onVanished(): void;
  /** Redis is back: writes there what the others have to know before anybody goes on. */
  report(): Promise<void>;
  /** Everything is shared again. */
  onRejoined(): void;
}

export interface RedisConnectionOptions {
  url: string;
  /** What a start does while Redis is down: goes on alone, or is refused. */
  startup: 'continue' | 'require';
  clock: Clock;
  log: Log;
}

const FIRST_RETRY_MS = 20;
const RETRY_MS = 250;
const HEARTBEAT_MS = 500;
// Killed, or cut off and gone on alone: nobody can tell. Until then its share of a budget is left to it,
const GONE_AFTER_MS = 30_000;
// and until then a small part.
const RESERVED_MS = 600_000;
// The others have counted a new instance after as many heartbeats of theirs.
const COUNTED_AFTER_MS = 2_000;

/** Rejects, naming REDIS_URL, where the start is refused. */
export async function connectRedis(options: RedisConnectionOptions): Promise<RedisConnection> {
  const { url, startup, clock, log } = options;
  let target = readRedisUrl(url);
  const { kind } = target;
  const instanceId = randomUUID();
  const members = new Set<Member>();
  const channels = new Map<string, (message: Buffer) => void>();
  const clockWatch = new ClockWatch();
  /** Reasons that were logged in this outage. */
  const loggedReasons = new Set<string>();
  let session: RedisSession | null = null;
  let generation = '';
  let instances = 1;
  let countedFrom = Infinity;
  let heardAt = -Infinity;
  let isLost = true;
  let isClosed = false;
  let cancelTimer = () => {};

  // As a fault, not as an error: the client's error quotes the command, which may be the one with the password.
  const fault = await connect().then(() => null, toRedisFault);
  if (fault !== null && (fault.isFinal || startup === 'require')) {
    isClosed = true;
    throw new Error(`REDIS_URL: ${fault.reason}`);
  }
  if (fault !== null) {
    loggedReasons.add(fault.reason);
    log.warn({ reason: fault.reason }, 'Redis cannot be used; starting alone');
    retryIn(RETRY_MS);
  }

  return {
    instanceId,
    get isLost() {
      return isLost;
    },
    get instances() {
      return instances;
    },
    get isCounted() {
      const now = clock.monotonic();
      return now >= countedFrom && now < heardAt + GONE_AFTER_MS / 2;
    },
    get keys() {
      return keysOf(generation);
    },
    run,
    publish: (channel, message) => orLose(open => open.publish(channel, message)),
    subscribe(channel, receive) {
      channels.set(channel, receive);
      const joined = isLost ? Promise.resolve() : orLose(open => open.subscribe([channel]));
      return {
        joined: joined.catch(() => {}),
        leave() {
          channels.delete(channel);
          if (!isLost) orLose(open => open.unsubscribe(channel)).catch(() => {});
        },
      };
    },
    isClockSteady,
    join(member) {
      members.add(member);
      return () => void members.delete(member);
    },
    async close() {
      if (!isLost) await run('leave', [keysOf(generation).instances], [instanceId]).catch(() => {});
      isClosed = true;
      isLost = true;
      cancelTimer();
      session?.close();
      session = null;
    },
  };

  function run(script: ScriptName, keys: string[], args: (string | number)[]): Promise<unknown> {
    return orLose(open => open.run(script, [GENERATION_KEY, ...keys], [generation, ...args]));
  }

  async function orLose<T>(send: (open: RedisSession) => Promise<T>): Promise<T> {
    const asked = session;
    if (asked === null) throw new RedisFaultError('Redis is lost');
    try {
      return await send(asked);
    } catch (error) {
      // What an earlier session left unanswered says nothing of this one.
      if (asked === session) lose(error);
      throw error;
    }
  }

  /** Opens a session, and rejoins with it. */
  async function connect(): Promise<void> {
    const found = await findServer(target);
    let onSelfTest = () => {};
    const received = new Promise<void>(resolve => (onSelfTest = resolve));
    const selfTestChannel = CHANNELS.selfTest(instanceId);
    const opened = await openSession(found.server, {
      target: found.target,
      onMessage(channel, message) {
        if (channel === selfTestChannel) onSelfTest();
        else receive(channel, message);
      },
      onBroken(error) {
        if (opened === session) lose(error);
      },
    });
    if (isClosed) return opened.close();
    target = found.target;
    session = opened;
    try {
      generation = String(await opened.run('join', [GENERATION_KEY], [randomUUID()]));
      await testSession(opened, { instanceId, generation }, received);
      await subscribeToAll(opened);
      const { settling } = keysOf(generation);
      await run('awaitInstances', [settling], [instances, GONE_AFTER_MS]);
      await Promise.all([...members].map(member => member.report()));
      await sendHeartbeat();
      await subscribeToAll(opened);
      if (opened !== session) throw new RedisFaultError('the connection was closed');
    } catch (error) {
      opened.close();
      if (opened === session) session = null;
      // What was begun alone goes on, and is reported to the next session.
      for (const member of members) member.onLost({ isDeaf: false });
      // A user that may not ask for INFO learns only now that it is a cluster.
      if (target.kind === 'single' && toRedisFault(error).isMoved) {
        target = { ...target, kind: 'cluster' };
        return connect();
      }
      throw error;
    }
    // Given up by the others meanwhile, it has to be counted anew.
    const now = clock.monotonic();
    if (now > heardAt + GONE_AFTER_MS / 2) countedFrom = now + COUNTED_AFTER_MS;
    heardAt = now;
    isLost = false;
    if (loggedReasons.size > 0) log.info('Redis is back; what instances share is shared again');
    loggedReasons.clear();
    for (const member of members) member.onRejoined();
    beatOn();
  }

  function receive(channel: string, message: Buffer): void {
    try {
      channels.get(channel)?.(message);
    } catch (error) {
      // Thrown on from here it would end the process, over what another instance sent.
      log.error({ err: error, channel }, 'a message of another instance could not be read');
    }
  }

  async function sendHeartbeat(): Promise<void> {
    const askedAt = clock.monotonic();
    const { instances: key, settling, reserved } = keysOf(generation);
    const args = [instanceId, GONE_AFTER_MS, RESERVED_MS];
    const [answer] = await Promise.all([
      run('heartbeat', [key, settling, reserved], args),
      // One connection may be gone without the other's being so.
      orLose(open => open.ping()),
    ]);
    const [count, redisNow] = answer as [number, number];
    instances = Math.max(1, count);
    if (!isClockSteady(redisNow, askedAt)) throw new RedisFaultError('the clock of Redis was set');
    if (!isLost) heardAt = askedAt;
  }

  function beatOn(): void {
    cancelTimer = clock.after(HEARTBEAT_MS, () => {
      // A fault has lost the session by then, and the next attempt is planned.
      sendHeartbeat().then(beatOn, () => {});
    });
  }

  function isClockSteady(redisNow: number, askedAt: number): boolean {
    const stepMs = clockWatch.stepAt(redisNow, askedAt, clock.monotonic());
    if (stepMs === 0) return true;
    const reason = `the clock of Redis was set by ${Math.round(stepMs)} ms`;
    // Whatever was scored by the old time is void. Others that notice find it done.
    session?.run('renewGeneration', [GENERATION_KEY], [generation, randomUUID()]).catch(() => {});
    lose(new RedisFaultError(reason));
    return false;
  }

  function lose(error: unknown): void {
    session?.close();
    session = null;
    // Starting or rejoining: `connect` fails of it.
    if (isLost || isClosed) return;
    isLost = true;
    cancelTimer();
    const { reason, isTimeout } = toRedisFault(error);
    loggedReasons.add(reason);
    log.warn({ reason, instances }, 'Redis is lost; this instance goes on alone');
    for (const member of members) member.onLost({ isDeaf: isTimeout });
    retryIn(FIRST_RETRY_MS);
  }

  function retryIn(delayMs: number): void {
    cancelTimer = clock.after(delayMs, () => {
      connect().catch((error: unknown) => {
        if (isClosed) return;
        const { reason, isRefused } = toRedisFault(error);
        if (!loggedReasons.has(reason)) log.warn({ reason }, 'Redis cannot be used; still alone');
        loggedReasons.add(reason);
        // Of a cluster or of sentinels, others may have another server already.
        if (isRefused && kind === 'single' && target.kind === 'single')
          for (const member of members) member.onVanished();
        retryIn(RETRY_MS);
      });
    });
  }

  /** A channel that is opened while this goes on is subscribed to by its next turn: none is left out. */
  async function subscribeToAll(opened: RedisSession): Promise<void> {
    const subscribed = new Set<string>();
    for (;;) {
      const missing = [...channels.keys()].filter(channel => !subscribed.has(channel));
      if (missing.length === 0) return;
      await opened.subscribe(missing);
      for (const channel of missing) subscribed.add(channel);
    }
  }
}

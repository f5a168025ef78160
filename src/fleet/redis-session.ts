import { Redis } from 'ioredis';
import type { RedisHost, RedisTarget } from './redis-url.ts';
import { SCRIPTS, type ScriptName } from './scripts.ts';

/**
 * A pair of connections to one Redis server. A session never reconnects; open a new one instead.
 */
export interface RedisSession {
  /** Runs a script. Rejects if it fails or does not answer within a second. */
  run(script: ScriptName, keys: string[], args: (string | number)[]): Promise<unknown>;
  publish(channel: string, message: Buffer): Promise<void>;
  subscribe(channels: readonly string[]): Promise<void>;
  unsubscribe(channel: string): Promise<void>;
  /** Resolves if the connection that receives messages works. */
  ping(): Promise<void>;
  close(): void;
}

export interface SessionOptions {
  target: RedisTarget;
  onMessage(channel: string, message: Buffer): void;
  /** Called once, when a connection breaks without `close` being called. */
  onBroken(error: unknown): void;
}

const COMMAND_TIMEOUT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 2_000;

type Run = (count: number, ...rest: (string | number)[]) => Promise<unknown>;

/** Connects to one server. Rejects with the error that explains why it cannot be used. */
export async function openSession(host: RedisHost, options: SessionOptions): Promise<RedisSession> {
  const { target, onMessage, onBroken } = options;
  // A connection with subscriptions cannot run other commands.
  const commands = openClient(host, target);
  const subscriber = openClient(host, target);
  const clients = [commands, subscriber];
  let state: 'opening' | 'open' | 'ended' = 'opening';
  let cause: unknown = null;
  const end = (error: unknown) => {
    const wasOpen = state === 'open';
    state = 'ended';
    for (const client of clients) client.disconnect();
    if (wasOpen) onBroken(cause ?? error);
  };
  for (const client of clients) {
    // Rejected commands only say that the connection is closed. This event has the cause.
    client.on('error', (error: unknown) => (cause ??= error));
    client.on('end', () => end(new Error('Connection is closed.')));
  }
  subscriber.on('messageBuffer', (channel: Buffer, message: Buffer) =>
    onMessage(channel.toString(), message),
  );
  try {
    await Promise.all(clients.map(client => client.connect()));
    // Redis rejects a wrong password only after the connection is made.
    await Promise.all(clients.map(client => client.ping()));
  } catch (error) {
    await nextTurn();
    end(error);
    throw cause ?? error;
  }
  state = 'open';

  return {
    run: (script, keys, args) =>
      (commands as unknown as Record<ScriptName, Run>)[script](keys.length, ...keys, ...args),
    async publish(channel, message) {
      await commands.publish(channel, message);
    },
    async subscribe(channels) {
      if (channels.length > 0) await subscriber.subscribe(...channels);
    },
    async unsubscribe(channel) {
      await subscriber.unsubscribe(channel);
    },
    async ping() {
      await subscriber.ping();
    },
    close() {
      state = 'ended';
      for (const client of clients) client.disconnect();
    },
  };
}

/** Runs commands on a short-lived connection to one server. */
export async function askOnce<T>(
  host: RedisHost,
  target: RedisTarget,
  call: (client: Pick<Redis, 'call'>) => Promise<T>,
): Promise<T> {
  const client = openClient(host, target);
  let cause: unknown = null;
  client.on('error', (error: unknown) => (cause ??= error));
  try {
    await client.connect();
    return await call(client);
  } catch (error) {
    await nextTurn();
    throw cause ?? error;
  } finally {
    client.disconnect();
  }
}

/**
 * After a wrong password the commands fail first. The event with the cause follows one turn later.
 */
function nextTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve));
}

function openClient({ host, port }: RedisHost, target: RedisTarget): Redis {
  const { username, password, db, isTls } = target;
  return new Redis({
    host,
    port,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    db,
    ...(isTls ? { tls: {} } : {}),
    lazyConnect: true,
    // A command that cannot be sent now is useless later: the local window has answered by then.
    enableOfflineQueue: false,
    // The self-test checks more, and the user may not be allowed to run INFO.
    enableReadyCheck: false,
    disableClientInfo: true,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: () => null,
    scripts: Object.fromEntries(Object.entries(SCRIPTS).map(([name, lua]) => [name, { lua }])),
  });
}

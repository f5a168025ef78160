import type { Clock } from '../clock.ts';
import type { GroupListener, Lease, WatchGroup } from './fleet.ts';
import { Inbox, Outbox } from './outbox.ts';
import type { RedisConnection } from './redis-connection.ts';
import type { RedisMember } from './redis-member.ts';
import { CHANNELS } from './redis-keys.ts';

// When the polling instance disappears, another takes over within the sum of these two.
const LEASE_MS = 2_000;
const RENEW_MS = 400;
// The ids of an instance that disappeared are still polled for this long.
const KEEP_IDS_MS = 10_000;
// Redis copies a script's arguments to a stack of limited depth.
const IDS_PER_SCRIPT = 5_000;

export interface RedisGroupParts {
  connection: RedisConnection;
  clock: Clock;
  /** Called when a lease is obtained, and when it is lost or given up. */
  onLease?(name: string, isHeld: boolean): void;
}

interface RedisLease extends Lease {
  /**
   * On the monotonic clock. An instance that was suspended past this time no longer holds the
   * lease.
   */
  heldUntil: number;
  /** Whether `onLease` was called with the lease held. */
  isReported: boolean;
  onHeld(): void;
}

/**
 * A group over Redis: a set with the ids that each instance watches, leases that expire, and a
 * channel. While Redis is disconnected, the instance holds all leases it requested and polls for
 * itself.
 */
export class RedisGroup<M> implements WatchGroup<M>, RedisMember {
  readonly joined: Promise<void>;
  readonly #connection: RedisConnection;
  readonly #clock: Clock;
  readonly #listener: GroupListener<M>;
  readonly #onLease: (name: string, isHeld: boolean) => void;
  readonly #name: string;
  readonly #own = new Set<string>();
  readonly #leases = new Map<string, RedisLease>();
  readonly #outbox: Outbox<M>;
  readonly #inbox: Inbox<M>;
  readonly #leave: () => void;
  /**
   * Changes of ids that are not written to Redis yet: true for watched, false for no longer
   * watched.
   */
  #unwritten = new Map<string, boolean>();
  /** Resolves when the current writing of ids and messages ends; null if there is none. */
  #flushing: Promise<void> | null = null;
  #isFlushPlanned = false;
  #isRenewing = false;
  #cancelRenewal = () => {};

  constructor(name: string, listener: GroupListener<M>, parts: RedisGroupParts) {
    const { connection, clock, onLease = () => {} } = parts;
    const channel = CHANNELS.group(name);
    this.#connection = connection;
    this.#clock = clock;
    this.#listener = listener;
    this.#onLease = onLease;
    this.#name = name;
    this.#outbox = new Outbox({
      from: connection.instanceId,
      clock,
      send: chunk => connection.publish(channel, chunk),
    });
    this.#inbox = new Inbox(connection.instanceId);
    const subscription = connection.subscribe(channel, chunk => this.#receive(chunk));
    this.joined = subscription.joined;
    const leave = connection.join(this);
    this.#leave = () => {
      subscription.leave();
      leave();
    };
  }

  watch(id: string): void {
    this.#own.add(id);
    this.#write(id, true);
  }

  unwatch(id: string): void {
    this.#own.delete(id);
    this.#write(id, false);
  }

  async watchedIds(): Promise<ReadonlySet<string>> {
    const { keys } = this.#connection;
    try {
      // This makes the poller wait until the results of its last poll are sent.
      await this.#flush();
      if (this.#connection.isDisconnected) return this.#own;
      const args = [keys.idsOf(this.#name, '')];
      return new Set(
        (await this.#connection.run('watchedIds', [keys.instances], args)) as string[],
      );
    } catch {
      return this.#own;
    }
  }

  openLease(name: string, onHeld: () => void): Lease {
    const clock = this.#clock;
    const lease: RedisLease = {
      heldUntil: this.#connection.isDisconnected ? Infinity : -Infinity,
      get isHeld() {
        return this.heldUntil > clock.monotonic();
      },
      isReported: false,
      onHeld,
      close: () => {
        this.#leases.delete(name);
        if (lease.isHeld) this.#release([name]).catch(() => {});
        this.#report(name, lease, false);
      },
    };
    this.#leases.set(name, lease);
    this.#report(name, lease, lease.isHeld);
    if (!lease.isHeld) void this.#renew();
    return lease;
  }

  publish(message: M): void {
    if (!this.#connection.isDisconnected) {
      this.#outbox.push(message);
      this.#flushSoon();
    }
    this.#listener.receive(message);
  }

  close(): void {
    this.#cancelRenewal();
    this.#leave();
    const held = [...this.#leases].filter(([, { isHeld }]) => isHeld).map(([name]) => name);
    for (const id of this.#own) this.#write(id, false);
    this.#own.clear();
    for (const [name, lease] of this.#leases) this.#report(name, lease, false);
    this.#leases.clear();
    this.#release(held).catch(() => {});
  }

  onDisconnect(): void {
    this.#cancelRenewal();
    this.#outbox.clear();
    this.#inbox.clear();
    for (const [name, lease] of this.#leases) this.#hold(name, lease, Infinity);
  }

  onServerDown(): void {}

  async resync(): Promise<void> {
    // Some of the ids written before may not have arrived, and others may be outdated.
    await this.#connection.run('forgetIds', [this.#idsKey()], []);
    this.#unwritten = new Map([...this.#own].map(id => [id, true]));
    await this.#writeIds();
  }

  onReconnect(): void {
    for (const [name, lease] of this.#leases) this.#hold(name, lease, -Infinity);
    this.#listener.onReconnect();
    void this.#renew();
  }

  #write(id: string, isWatched: boolean): void {
    this.#unwritten.set(id, isWatched);
    this.#flushSoon();
  }

  /** Flushes at the end of this event loop turn, together with other writes. */
  #flushSoon(): void {
    if (this.#isFlushPlanned || this.#flushing !== null) return;
    this.#isFlushPlanned = true;
    setImmediate(() => {
      this.#isFlushPlanned = false;
      void this.#flush();
    });
  }

  /**
   * Writes ids and sends messages until none are left. Never rejects: after an error, `resync`
   * writes them.
   */
  #flush(): Promise<void> {
    this.#flushing ??= this.#flushAll()
      .catch(() => {})
      .finally(() => {
        this.#flushing = null;
        // More may have been added after the last check.
        if (!this.#connection.isDisconnected && this.#hasUnsent) this.#flushSoon();
      });
    return this.#flushing;
  }

  get #hasUnsent(): boolean {
    return this.#unwritten.size > 0 || !this.#outbox.isEmpty;
  }

  async #flushAll(): Promise<void> {
    while (!this.#connection.isDisconnected && this.#hasUnsent) {
      // Write the ids first, so that an instance that receives a message finds its ids among the
      // watched.
      const written = this.#writeIds();
      await Promise.all([written, this.#outbox.isEmpty ? null : this.#outbox.sendNext()]);
    }
  }

  async #writeIds(): Promise<void> {
    const ids = [...this.#unwritten];
    this.#unwritten = new Map();
    const scripts = [];
    for (let first = 0; first < ids.length; first += IDS_PER_SCRIPT) {
      const part = ids.slice(first, first + IDS_PER_SCRIPT);
      const added = part.filter(([, isWatched]) => isWatched).map(([id]) => id);
      const removed = part.filter(([, isWatched]) => !isWatched).map(([id]) => id);
      const args = [KEEP_IDS_MS, added.length, ...added, ...removed];
      scripts.push(this.#connection.run('watchIds', [this.#idsKey()], args));
    }
    await Promise.all(scripts);
  }

  /** Requests all open leases, renews those that are held, and schedules itself again. */
  async #renew(): Promise<void> {
    if (this.#isRenewing || this.#connection.isDisconnected || this.#leases.size === 0) return;
    this.#isRenewing = true;
    this.#cancelRenewal();
    const requested = [...this.#leases];
    // Counted from before the request, so a lease never ends later here than in Redis.
    const heldUntil = this.#clock.monotonic() + LEASE_MS;
    try {
      const { instanceId } = this.#connection;
      const [wereIdsKept, ...held] = (await this.#connection.run(
        'renewLeases',
        [this.#idsKey(), ...requested.map(([name]) => this.#leaseKey(name))],
        [instanceId, LEASE_MS, KEEP_IDS_MS],
      )) as number[];
      if (wereIdsKept === 0) for (const id of this.#own) this.#write(id, true);
      for (const [place, [name, lease]] of requested.entries()) {
        if (this.#leases.get(name) === lease)
          this.#hold(name, lease, held[place] === 1 ? heldUntil : -Infinity);
        else if (held[place] === 1) await this.#release([name]);
      }
    } catch {
      return;
    } finally {
      this.#isRenewing = false;
    }
    const isComplete = [...this.#leases.values()].every(lease =>
      requested.some(([, other]) => other === lease),
    );
    this.#cancelRenewal = this.#clock.after(isComplete ? RENEW_MS : 0, () => void this.#renew());
  }

  #hold(name: string, lease: RedisLease, until: number): void {
    const wasHeld = lease.isHeld;
    lease.heldUntil = until;
    this.#report(name, lease, lease.isHeld);
    if (lease.isHeld && !wasHeld) lease.onHeld();
  }

  #report(name: string, lease: RedisLease, isHeld: boolean): void {
    if (lease.isReported === isHeld) return;
    lease.isReported = isHeld;
    this.#onLease(name, isHeld);
  }

  async #release(names: string[]): Promise<void> {
    if (names.length === 0 || this.#connection.isDisconnected) return;
    await this.#connection.run(
      'releaseLeases',
      names.map(name => this.#leaseKey(name)),
      [this.#connection.instanceId],
    );
  }

  #receive(chunk: Buffer): void {
    for (const message of this.#inbox.receive(chunk)) this.#listener.receive(message);
  }

  #idsKey(): string {
    const { keys, instanceId } = this.#connection;
    return keys.idsOf(this.#name, instanceId);
  }

  #leaseKey(name: string): string {
    return this.#connection.keys.lease(this.#name, name);
  }
}

import type { Clock } from '../clock.ts';
import type { GroupListener, Lease, WatchGroup } from './fleet.ts';
import { Inbox, Outbox } from './outbox.ts';
import type { Member, RedisConnection } from './redis-connection.ts';
import { CHANNELS } from './redis-keys.ts';

// An instance that looks and is gone is replaced within the sum of these two.
const LEASE_MS = 2_000;
const RENEW_MS = 400;
// Ids of an instance that is gone are looked at for so long.
const KEEP_IDS_MS = 10_000;
// A script's arguments are copied to a stack of limited depth.
const IDS_PER_SCRIPT = 5_000;

interface RedisLease extends Lease {
  /** On the monotonic clock. It ends by that clock too, in an instance that was held up for so long. */
  heldUntil: number;
  onHeld(): void;
}

/**
 * A group over Redis: a set of the ids that each instance watches, leases that expire, and a channel.
 * While Redis is lost an instance holds every lease it wants, and watches for itself.
 */
export class RedisGroup<M> implements WatchGroup<M>, Member {
  readonly joined: Promise<void>;
  readonly #connection: RedisConnection;
  readonly #clock: Clock;
  readonly #listener: GroupListener<M>;
  readonly #name: string;
  readonly #own = new Set<string>();
  readonly #leases = new Map<string, RedisLease>();
  readonly #outbox: Outbox<M>;
  readonly #inbox: Inbox<M>;
  readonly #leave: () => void;
  /** Ids that Redis is yet to be given: true where they are watched, false where no more. */
  #unwritten = new Map<string, boolean>();
  /** While ids and messages are written, what ends with it. */
  #flushing: Promise<void> | null = null;
  #isFlushPlanned = false;
  #isRenewing = false;
  #cancelRenewal = () => {};

  constructor(name: string, listener: GroupListener<M>, connection: RedisConnection, clock: Clock) {
    const channel = CHANNELS.group(name);
    this.#connection = connection;
    this.#clock = clock;
    this.#listener = listener;
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
      // Whoever polls in turn so waits until what the last poll found is sent.
      await this.#flush();
      if (this.#connection.isLost) return this.#own;
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
      heldUntil: this.#connection.isLost ? Infinity : -Infinity,
      get isHeld() {
        return this.heldUntil > clock.monotonic();
      },
      onHeld,
      close: () => {
        this.#leases.delete(name);
        if (lease.isHeld) this.#release([name]).catch(() => {});
      },
    };
    this.#leases.set(name, lease);
    if (!lease.isHeld) void this.#renew();
    return lease;
  }

  publish(message: M): void {
    if (!this.#connection.isLost) {
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
    this.#leases.clear();
    this.#release(held).catch(() => {});
  }

  onLost(): void {
    this.#cancelRenewal();
    this.#outbox.clear();
    this.#inbox.clear();
    for (const lease of this.#leases.values()) hold(lease, Infinity);
  }

  onVanished(): void {}

  async report(): Promise<void> {
    // Not all that was written before the loss may have arrived, and the rest may be of an earlier time.
    await this.#connection.run('forgetIds', [this.#idsKey()], []);
    this.#unwritten = new Map([...this.#own].map(id => [id, true]));
    await this.#writeIds();
  }

  onRejoined(): void {
    for (const lease of this.#leases.values()) hold(lease, -Infinity);
    this.#listener.onRejoined();
    void this.#renew();
  }

  #write(id: string, isWatched: boolean): void {
    this.#unwritten.set(id, isWatched);
    this.#flushSoon();
  }

  /** Together with whatever else is written in this turn of the loop. */
  #flushSoon(): void {
    if (this.#isFlushPlanned || this.#flushing !== null) return;
    this.#isFlushPlanned = true;
    setImmediate(() => {
      this.#isFlushPlanned = false;
      void this.#flush();
    });
  }

  /** Writes ids and sends messages until there are none. Never rejects: what is not sent is reported later. */
  #flush(): Promise<void> {
    this.#flushing ??= this.#flushAll()
      .catch(() => {})
      .finally(() => {
        this.#flushing = null;
        // Given between the last look and this.
        if (!this.#connection.isLost && this.#hasUnsent) this.#flushSoon();
      });
    return this.#flushing;
  }

  get #hasUnsent(): boolean {
    return this.#unwritten.size > 0 || !this.#outbox.isEmpty;
  }

  async #flushAll(): Promise<void> {
    while (!this.#connection.isLost && this.#hasUnsent) {
      // The ids first: an instance that receives a message finds what it is about among the watched.
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

  /** Asks for every lease that is wanted, keeps those that are held, and does so again and again. */
  async #renew(): Promise<void> {
    if (this.#isRenewing || this.#connection.isLost || this.#leases.size === 0) return;
    this.#isRenewing = true;
    this.#cancelRenewal();
    const wanted = [...this.#leases];
    // Counted from the asking, it never ends later here than in Redis.
    const heldUntil = this.#clock.monotonic() + LEASE_MS;
    try {
      const { instanceId } = this.#connection;
      const [wereIdsKept, ...held] = (await this.#connection.run(
        'renewLeases',
        [this.#idsKey(), ...wanted.map(([name]) => this.#leaseKey(name))],
        [instanceId, LEASE_MS, KEEP_IDS_MS],
      )) as number[];
      if (wereIdsKept === 0) for (const id of this.#own) this.#write(id, true);
      for (const [place, [name, lease]] of wanted.entries()) {
        if (this.#leases.get(name) === lease)
          hold(lease, held[place] === 1 ? heldUntil : -Infinity);
        else if (held[place] === 1) await this.#release([name]);
      }
    } catch {
      return;
    } finally {
      this.#isRenewing = false;
    }
    const isComplete = [...this.#leases.values()].every(lease =>
      wanted.some(([, asked]) => asked === lease),
    );
    this.#cancelRenewal = this.#clock.after(isComplete ? RENEW_MS : 0, () => void this.#renew());
  }

  async #release(names: string[]): Promise<void> {
    if (names.length === 0 || this.#connection.isLost) return;
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

function hold(lease: RedisLease, until: number): void {
  const wasHeld = lease.isHeld;
  lease.heldUntil = until;
  if (lease.isHeld && !wasHeld) lease.onHeld();
}

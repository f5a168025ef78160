import type { Clock } from '../clock.ts';
import type { GroupListener, Lease, WatchGroup } from './fleet.ts';
import {
  INSTANCES_KEY,
  KEY_PREFIX,
  type Member,
  type RedisConnection,
} from './redis-connection.ts';
import { FORGET, RELEASE, RENEW, WATCH, WATCHED } from './scripts.ts';

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

/** What a message looks like on the channel. */
interface Letter<M> {
  from: string;
  messages: M[];
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
  readonly #key: string;
  readonly #own = new Set<string>();
  readonly #leases = new Map<string, RedisLease>();
  readonly #leave: () => void;
  /** What Redis was not told yet: ids, true where they are watched, and messages. */
  #unsaid = new Map<string, boolean>();
  #outbox: M[] = [];
  #isFlushing = false;
  #isRenewing = false;
  #cancelRenewal = () => {};

  constructor(name: string, listener: GroupListener<M>, connection: RedisConnection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
    this.#listener = listener;
    this.#key = `${KEY_PREFIX}:group:${name}`;
    const news = connection.subscribe(`${this.#key}:news`, text => this.#receive(text));
    this.joined = news.joined;
    const leave = connection.join(this);
    this.#leave = () => {
      news.leave();
      leave();
    };
  }

  watch(id: string): void {
    this.#own.add(id);
    this.#say(id, true);
  }

  unwatch(id: string): void {
    this.#own.delete(id);
    this.#say(id, false);
  }

  async watchedIds(): Promise<ReadonlySet<string>> {
    if (this.#connection.isLost) return this.#own;
    try {
      await this.#tell();
      const ids = await this.#connection.run(WATCHED, [INSTANCES_KEY], [this.#idsKey('')]);
      return new Set(ids as string[]);
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
    for (const id of this.#own) this.#say(id, false);
    this.#own.clear();
    this.#leases.clear();
    this.#release(held).catch(() => {});
  }

  lost(): void {
    this.#cancelRenewal();
    this.#outbox = [];
    for (const lease of this.#leases.values()) hold(lease, Infinity);
  }

  vanished(): void {}

  async report(): Promise<void> {
    // What it was told before it was lost may not have been all.
    await this.#connection.run(FORGET, [this.#idsKey(this.#connection.instanceId)], []);
    this.#unsaid = new Map([...this.#own].map(id => [id, true]));
    await this.#tellIds();
  }

  rejoined(): void {
    for (const lease of this.#leases.values()) hold(lease, -Infinity);
    this.#listener.rejoined();
    void this.#renew();
  }

  #say(id: string, isWatched: boolean): void {
    this.#unsaid.set(id, isWatched);
    this.#flushSoon();
  }

  /** Together with whatever else is said in this turn of the loop. */
  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      // What is not said now is said when Redis is found again.
      this.#tell().catch(() => {});
    });
  }

  /** The ids before the messages: who hears that a task is wanted finds it among the watched. */
  async #tell(): Promise<void> {
    if (this.#connection.isLost) return;
    const messages = this.#outbox;
    this.#outbox = [];
    const told = this.#tellIds();
    if (messages.length > 0) {
      const letter: Letter<M> = { from: this.#connection.instanceId, messages };
      await this.#connection.publish(`${this.#key}:news`, JSON.stringify(letter));
    }
    await told;
  }

  async #tellIds(): Promise<void> {
    const unsaid = [...this.#unsaid];
    this.#unsaid = new Map();
    const { instanceId } = this.#connection;
    const keys = [this.#idsKey(instanceId)];
    const scripts = [];
    for (let first = 0; first < unsaid.length; first += IDS_PER_SCRIPT) {
      const part = unsaid.slice(first, first + IDS_PER_SCRIPT);
      const added = part.filter(([, isWatched]) => isWatched).map(([id]) => id);
      const removed = part.filter(([, isWatched]) => !isWatched).map(([id]) => id);
      scripts.push(
        this.#connection.run(WATCH, keys, [KEEP_IDS_MS, added.length, ...added, ...removed]),
      );
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
        RENEW,
        [this.#idsKey(instanceId), ...wanted.map(([name]) => this.#leaseKey(name))],
        [instanceId, LEASE_MS, KEEP_IDS_MS],
      )) as number[];
      if (wereIdsKept === 0) for (const id of this.#own) this.#say(id, true);
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
      RELEASE,
      names.map(name => this.#leaseKey(name)),
      [this.#connection.instanceId],
    );
  }

  #receive(text: string): void {
    // Told of as lost, an instance asks for everything anew once it is back.
    const { from, messages } = JSON.parse(text) as Letter<M>;
    if (from === this.#connection.instanceId) return;
    for (const message of messages) this.#listener.receive(message);
  }

  #idsKey(instanceId: string): string {
    return `${this.#key}:ids:${instanceId}`;
  }

  #leaseKey(name: string): string {
    return `${this.#key}:lease:${name}`;
  }
}

function hold(lease: RedisLease, until: number): void {
  const wasHeld = lease.isHeld;
  lease.heldUntil = until;
  if (lease.isHeld && !wasHeld) lease.onHeld();
}

import type { GroupListener, Lease, WatchGroup } from '../../src/fleet/fleet.ts';
import type { HandClock } from './hand-clock.ts';

// The time after which the lease of a silent instance expires and others may obtain it.
const TAKEOVER_MS = 2_400;
const MESSAGE_MS = 30;

/** An instance of the fleet, with methods that simulate its faults. */
export interface SimulatedMember<M> {
  openGroup(listener: GroupListener<M>): WatchGroup<M>;
  /** Kills the instance. It releases nothing. */
  kill(): void;
  /** Cuts the instance off: it and the others receive no messages from each other. */
  cut(): void;
  heal(): void;
}

/**
 * Simulates a fleet of instances in one process, on a clock that the test controls. It behaves as
 * `fleet/redis` does, and is fast enough for the many runs of a property test.
 */
export class SimulatedFleet<M> {
  readonly #clock: HandClock;
  readonly #members = new Set<Instance<M>>();
  readonly #holders = new Map<string, Instance<M>>();

  constructor(clock: HandClock) {
    this.#clock = clock;
  }

  open(): SimulatedMember<M> {
    const instance: Instance<M> = {
      state: 'up',
      ids: new Set(),
      leases: new Map(),
      listener: null,
      counted: true,
    };
    this.#members.add(instance);
    return {
      openGroup: listener => {
        instance.listener = listener;
        return this.#groupOf(instance);
      },
      kill: () => this.#leave(instance, 'dead'),
      cut: () => this.#leave(instance, 'cut'),
      heal: () => this.#heal(instance),
    };
  }

  #groupOf(instance: Instance<M>): WatchGroup<M> {
    return {
      joined: Promise.resolve(),
      watch: id => instance.ids.add(id),
      unwatch: id => instance.ids.delete(id),
      watchedIds: async () =>
        new Set(
          instance.state === 'up'
            ? [...this.#members]
                .filter(({ counted }) => counted)
                .reduce<string[]>((all, { ids }) => all.concat(...ids), [])
            : instance.ids,
        ),
      openLease: (name, onHeld) => this.#openLease(instance, name, onHeld),
      publish: message => {
        instance.listener?.receive(message);
        if (instance.state !== 'up') return;
        const text = JSON.stringify(message);
        for (const other of this.#members)
          if (other !== instance && other.state === 'up')
            this.#clock.after(MESSAGE_MS, () => {
              if (other.state === 'up') other.listener?.receive(JSON.parse(text) as M);
            });
      },
      close: () => {
        for (const name of instance.leases.keys()) this.#release(instance, name);
        instance.leases.clear();
        instance.ids.clear();
      },
    };
  }

  #openLease(instance: Instance<M>, name: string, onHeld: () => void): Lease {
    instance.leases.set(name, onHeld);
    if (instance.state === 'up' && !this.#holders.has(name)) this.#holders.set(name, instance);
    const isHeld = () =>
      instance.leases.get(name) === onHeld &&
      (instance.state === 'up' ? this.#holders.get(name) === instance : instance.state === 'cut');
    return {
      get isHeld() {
        return isHeld();
      },
      close: () => {
        instance.leases.delete(name);
        this.#release(instance, name);
      },
    };
  }

  #release(instance: Instance<M>, name: string): void {
    if (this.#holders.get(name) !== instance) return;
    this.#holders.delete(name);
    for (const other of this.#members) {
      const onHeld = other.leases.get(name);
      if (other === instance || other.state !== 'up' || onHeld === undefined) continue;
      this.#holders.set(name, other);
      onHeld();
      return;
    }
  }

  #leave(instance: Instance<M>, state: 'dead' | 'cut'): void {
    if (instance.state === 'dead' || instance.state === state) return;
    const held = [...this.#holders].filter(([, holder]) => holder === instance);
    instance.state = state;
    if (state === 'cut')
      for (const [name, onHeld] of instance.leases)
        if (!held.some(([own]) => own === name)) onHeld();
    this.#clock.after(TAKEOVER_MS, () => {
      if (instance.state !== state) return;
      instance.counted = false;
      for (const [name] of held) this.#release(instance, name);
    });
  }

  #heal(instance: Instance<M>): void {
    if (instance.state !== 'cut') return;
    instance.state = 'up';
    instance.counted = true;
    for (const [name, holder] of this.#holders)
      if (holder === instance) this.#release(instance, name);
    instance.listener?.onReconnect();
    for (const [name, onHeld] of instance.leases)
      if (!this.#holders.has(name)) {
        this.#holders.set(name, instance);
        onHeld();
      }
  }
}

interface Instance<M> {
  state: 'up' | 'cut' | 'dead';
  ids: Set<string>;
  /** The leases that it requests, with their callbacks. */
  leases: Map<string, () => void>;
  listener: GroupListener<M> | null;
  /** Whether the others still include the ids that it watches. */
  counted: boolean;
}

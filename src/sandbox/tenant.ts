import type { Clock } from '../clock.ts';
import { serializeAggregation } from './aggregation.ts';
import type { Client } from './clients.ts';
import { type Expression, matches } from './filter.ts';
import { NO_ODDITY, drawOddity } from './oddity.ts';
import type { Random } from './random.ts';
import type { VersionRules } from './versions.ts';
import {
  type Sources,
  type Lifecycle,
  type LifecycleOptions,
  createLifecycle,
} from './lifecycle.ts';
import { type Correction, stateAt, serializeTask } from './serialize.ts';

export interface TenantOptions {
  /** The number of tasks at the start, most of them finished. */
  tasks: number;
  /** Milliseconds between two new tasks; null: no task is created automatically. */
  newTaskEveryMs: number | null;
  /** A factor by which tasks run faster than in reality. */
  speed: number;
  /** Whether the tenant has the oddities of live tenants, or follows the specification exactly. */
  oddities: boolean;
}

export interface Selection {
  filter: Expression | null;
  /** True: only tasks with a status; false: only those without; null: all. */
  completed: boolean | null;
  ascending: boolean | null;
  client: Client;
}

interface Entry {
  lifecycle: Lifecycle;
  correction?: Correction;
}

const DAY_MS = 86_400_000;
/** Upstream does not return older tasks. */
const RETENTION_MS = 90 * DAY_MS;
const RUNNING_AT_START = 0.25;
// The oldest tasks are deleted, so a sandbox can run for weeks.
const MAX_TASKS = 20_000;
const SOURCE_NAMES = [
  'Workday HR',
  'Active Directory',
  'Salesforce',
  'GitHub',
  'ServiceNow',
  'SAP',
];

/** The tenant's tasks. Each answer shows them in their state at the current time. */
export class Tenant {
  readonly sources: Sources;
  readonly #options: TenantOptions;
  readonly #random: Random;
  readonly #oddRandom: Random;
  readonly #clock: Clock;
  // Ids are in lower case, as are the values of a parsed filter.
  readonly #entries = new Map<string, Entry>();
  #nextBirthAt: number;

  constructor(random: Random, oddRandom: Random, clock: Clock, options: TenantOptions) {
    this.#random = random;
    this.#oddRandom = oddRandom;
    this.#clock = clock;
    this.#options = options;
    const [first = '', second = '', ...others] = SOURCE_NAMES;
    const source = (name: string) => ({
      id: random.hex(32),
      type: 'APPLICATION',
      name: `${name} [source]`,
    });
    this.sources = [source(first), source(second), ...others.map(source)];
    this.#nextBirthAt = clock.now() + (options.newTaskEveryMs ?? Infinity);
    for (let count = 0; count < options.tasks; count++) this.#addEarlier();
  }

  /** Creates a task now and returns its id. The tenant's speed does not apply to the options. */
  addTask(options: LifecycleOptions = {}): string {
    return this.#add(this.#clock.now(), options);
  }

  addTasks(count: number, options: LifecycleOptions = {}): string[] {
    return Array.from({ length: count }, () => this.addTask(options));
  }

  /** Ends a task now, with date and status. Throws if there is no such task. */
  finish(id: string, status = 'SUCCESS'): void {
    const lifecycle = this.#entries.get(id)?.lifecycle;
    if (!lifecycle) throw new Error(`The tenant has no task ${id}.`);
    const now = this.#clock.now();
    const launchedAt = Math.min(lifecycle.launchedAt, now);
    Object.assign(lifecycle, { launchedAt, completedAt: now, statusAt: now, status });
  }

  /** Deletes a task, as upstream does when its source is deleted. */
  remove(id: string): void {
    this.#entries.delete(id);
  }

  get oddities(): boolean {
    return this.#options.oddities;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** A task as JSON of the REST API; null if it does not exist or the client may not see it. */
  read(id: string, client: Client): Record<string, unknown> | null {
    this.#catchUp();
    const entry = this.#entries.get(id);
    return entry && this.#isVisible(entry, client) ? this.#serialize(entry) : null;
  }

  /** The status of an account aggregation as JSON of the REST API; null if there is none. */
  readAggregation(
    id: string,
    client: Client,
    { aggregationCounts }: VersionRules,
  ): Record<string, unknown> | null {
    this.#catchUp();
    const entry = this.#entries.get(id);
    if (entry === undefined || !this.#isVisible(entry, client)) return null;
    return serializeAggregation(entry.lifecycle, this.#clock.now(), aggregationCounts);
  }

  /** Overwrites fields of a task's record. The job itself continues. */
  correct(id: string, correction: Omit<Correction, 'modifiedAt'>): void {
    const entry = this.#entries.get(id);
    if (entry)
      entry.correction = { ...entry.correction, ...correction, modifiedAt: this.#clock.now() };
  }

  /** Selects tasks in order. Only the requested page is serialized. */
  select({ filter, completed, ascending, client }: Selection): {
    count: number;
    page: (offset: number, limit: number) => unknown[];
  } {
    this.#catchUp();
    const now = this.#clock.now();
    const found = this.#candidates(filter).filter(entry => {
      if (!this.#isVisible(entry, client)) return false;
      const { status } = stateAt(entry.lifecycle, now, entry.correction);
      if (completed !== null && completed !== (status !== null)) return false;
      return filter === null || matches(filter, field => fieldOf(entry.lifecycle, status, field));
    });
    found.sort(ascending === null ? byId : ascending ? byCreation : (a, b) => byCreation(b, a));
    return {
      count: found.length,
      page: (offset, limit) =>
        found.slice(offset, offset + limit).map(entry => this.#serialize(entry)),
    };
  }

  /** The tasks that a filter may match. A filter by ids, which most polls use, needs no scan. */
  #candidates(filter: Expression | null): Entry[] {
    if (filter?.kind !== 'any' || filter.field !== 'id') return [...this.#entries.values()];
    return [...new Set(filter.values)].flatMap(id => this.#entries.get(id) ?? []);
  }

  #serialize({ lifecycle, correction }: Entry): Record<string, unknown> {
    return serializeTask(lifecycle, stateAt(lifecycle, this.#clock.now(), correction));
  }

  #isVisible({ lifecycle }: Entry, { sourceIds }: Client): boolean {
    if (lifecycle.createdAt < this.#clock.now() - RETENTION_MS) return false;
    return (
      sourceIds === undefined ||
      (lifecycle.target !== null && sourceIds.includes(lifecycle.target.id))
    );
  }

  #catchUp(): void {
    const { newTaskEveryMs } = this.#options;
    if (newTaskEveryMs === null) return;
    for (; this.#nextBirthAt <= this.#clock.now(); this.#nextBirthAt += newTaskEveryMs)
      this.#addAt(this.#nextBirthAt);
    for (const id of this.#entries.keys()) {
      if (this.#entries.size <= MAX_TASKS) break;
      this.#entries.delete(id);
    }
  }

  #addEarlier(): void {
    const isRunning = this.#random.chance(RUNNING_AT_START);
    const ageMs = isRunning
      ? this.#random.between(0, 20_000) / this.#options.speed
      : this.#random.between(0.1 * DAY_MS, 60 * DAY_MS);
    this.#addAt(this.#clock.now() - ageMs);
  }

  #addAt(createdAt: number): void {
    const { speed } = this.#options;
    const lifecycle = this.#make(createdAt, {});
    for (const moment of ['launchedAt', 'completedAt', 'statusAt'] as const)
      lifecycle[moment] = Math.floor(createdAt + (lifecycle[moment] - createdAt) / speed);
    this.#entries.set(lifecycle.id, { lifecycle });
  }

  #add(createdAt: number, options: LifecycleOptions): string {
    const lifecycle = this.#make(createdAt, options);
    this.#entries.set(lifecycle.id, { lifecycle });
    return lifecycle.id;
  }

  #make(createdAt: number, options: LifecycleOptions): Lifecycle {
    const { oddities } = this.#options;
    const oddity = oddities ? drawOddity(this.#oddRandom) : NO_ODDITY;
    return createLifecycle(this.#random, this.sources, Math.floor(createdAt), oddities, {
      ...oddity,
      ...options,
    });
  }
}

function fieldOf(
  { id, kind, target, launcher }: Lifecycle,
  status: string | null,
  field: string,
): string | null {
  switch (field) {
    case 'id':
      return id;
    case 'sourceId':
      return target?.type === 'IDENTITY' ? null : (target?.id ?? null);
    case 'type':
      return kind.definitionType;
    case 'launcher':
      return launcher;
    default:
      // A filter matches both TEMPERROR and TEMP_ERROR.
      return status?.replaceAll('_', '') ?? null;
  }
}

function byCreation(a: Entry, b: Entry): number {
  return a.lifecycle.createdAt - b.lifecycle.createdAt || byId(a, b);
}

// The specification names no order without sorters. An order by random ids cannot be relied on by
// accident.
function byId(a: Entry, b: Entry): number {
  return a.lifecycle.id < b.lifecycle.id ? -1 : 1;
}

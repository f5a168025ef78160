import type { Clock } from '../clock.ts';
import type { Client } from './clients.ts';
import { type Expression, matches } from './filter.ts';
import { NO_ODDITY, drawOddity } from './oddity.ts';
import type { Random } from './random.ts';
import { type Sources, type Story, type StoryOptions, tellStory } from './story.ts';
import { type Correction, standingOf, tell } from './telling.ts';

export interface TenantOptions {
  /** Tasks that are there from the start, most of them finished. */
  tasks: number;
  /** Milliseconds between two new tasks; null: none comes by itself. */
  newTaskEveryMs: number | null;
  /** How many times faster than life tasks run. */
  speed: number;
  /** Whether it has the oddities of live tenants, or follows the specification to the letter. */
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
  story: Story;
  correction?: Correction;
}

const DAY_MS = 86_400_000;
/** Upstream returns nothing older. */
const RETENTION_MS = 90 * DAY_MS;
const RUNNING_AT_START = 0.25;
// A sandbox left running for weeks stays small: the oldest tasks are pruned.
const MAX_TASKS = 20_000;
const SOURCE_NAMES = [
  'Workday HR',
  'Active Directory',
  'Salesforce',
  'GitHub',
  'ServiceNow',
  'SAP',
];

/** The tenant's tasks. They live by the clock: each answer shows them as they are at that moment. */
export class Tenant {
  readonly sources: Sources;
  readonly #options: TenantOptions;
  readonly #random: Random;
  readonly #oddRandom: Random;
  readonly #clock: Clock;
  // Ids are made of lower-case digits: as filters fold them, so they are looked up.
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

  /** Starts a task now. Milliseconds in the options are as given, whatever the tenant's speed. */
  addTask(options: StoryOptions = {}): string {
    return this.#add(this.#clock.now(), options);
  }

  addTasks(count: number, options: StoryOptions = {}): string[] {
    return Array.from({ length: count }, () => this.addTask(options));
  }

  /** Ends a task now, status and all. */
  finish(id: string, status = 'SUCCESS'): void {
    const story = this.#entries.get(id)?.story;
    if (!story) throw new Error(`The tenant has no task ${id}.`);
    const now = this.#clock.now();
    const launchedAt = Math.min(story.launchedAt, now);
    Object.assign(story, { launchedAt, completedAt: now, statusAt: now, status });
  }

  /** Takes a task away, as upstream does with tasks of a deleted source. */
  remove(id: string): void {
    this.#entries.delete(id);
  }

  get oddities(): boolean {
    return this.#options.oddities;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** A task in the REST API's words; null where there is none, or the client may not see it. */
  read(id: string, client: Client): Record<string, unknown> | null {
    this.#catchUp();
    const entry = this.#entries.get(id);
    return entry && this.#isVisible(entry, client) ? this.#tell(entry) : null;
  }

  /** Writes over the record of a task. The job itself goes on. */
  correct(id: string, correction: Omit<Correction, 'modifiedAt'>): void {
    const entry = this.#entries.get(id);
    if (entry)
      entry.correction = { ...entry.correction, ...correction, modifiedAt: this.#clock.now() };
  }

  /** The tasks selected, in order; a page of them is told only when it is asked for. */
  select({ filter, completed, ascending, client }: Selection): {
    count: number;
    page: (offset: number, limit: number) => unknown[];
  } {
    this.#catchUp();
    const now = this.#clock.now();
    const found = this.#candidates(filter).filter(entry => {
      if (!this.#isVisible(entry, client)) return false;
      const { status } = standingOf(entry.story, now, entry.correction);
      if (completed !== null && completed !== (status !== null)) return false;
      return filter === null || matches(filter, field => fieldOf(entry.story, status, field));
    });
    found.sort(ascending === null ? byId : ascending ? byCreation : (a, b) => byCreation(b, a));
    return {
      count: found.length,
      page: (offset, limit) => found.slice(offset, offset + limit).map(entry => this.#tell(entry)),
    };
  }

  /** The tasks a filter can be about: looked up where it names ids, as nearly every look does. */
  #candidates(filter: Expression | null): Entry[] {
    if (filter?.kind !== 'any' || filter.field !== 'id') return [...this.#entries.values()];
    return [...new Set(filter.values)].flatMap(id => this.#entries.get(id) ?? []);
  }

  #tell({ story, correction }: Entry): Record<string, unknown> {
    return tell(story, standingOf(story, this.#clock.now(), correction));
  }

  #isVisible({ story }: Entry, { sourceIds }: Client): boolean {
    if (story.createdAt < this.#clock.now() - RETENTION_MS) return false;
    return (
      sourceIds === undefined || (story.target !== null && sourceIds.includes(story.target.id))
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
    const story = this.#make(createdAt, {});
    for (const moment of ['launchedAt', 'completedAt', 'statusAt'] as const)
      story[moment] = Math.floor(createdAt + (story[moment] - createdAt) / speed);
    this.#entries.set(story.id, { story });
  }

  #add(createdAt: number, options: StoryOptions): string {
    const story = this.#make(createdAt, options);
    this.#entries.set(story.id, { story });
    return story.id;
  }

  #make(createdAt: number, options: StoryOptions): Story {
    const { oddities } = this.#options;
    const oddity = oddities ? drawOddity(this.#oddRandom) : NO_ODDITY;
    return tellStory(this.#random, this.sources, Math.floor(createdAt), oddities, {
      ...oddity,
      ...options,
    });
  }
}

function fieldOf(
  { id, kind, target, launcher }: Story,
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
      // A filter matches both spellings, TEMPERROR and TEMP_ERROR.
      return status?.replaceAll('_', '') ?? null;
  }
}

function byCreation(a: Entry, b: Entry): number {
  return a.story.createdAt - b.story.createdAt || byId(a, b);
}

// What upstream does without sorters is unstated: an order nobody can mistake for a useful one.
function byId(a: Entry, b: Entry): number {
  return a.story.id < b.story.id ? -1 : 1;
}

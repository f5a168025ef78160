import type { Clock } from '../clock.ts';
import type { SandboxVersion } from './versions.ts';

/** A request to the sandbox, and how it was answered. */
export interface RequestRecord {
  /** Milliseconds on the sandbox's monotonic clock. */
  at: number;
  method: string;
  path: string;
  query: string;
  version: SandboxVersion | null;
  clientId: string | null;
  /** The status of the answer; 0 before it, and if the connection closed without one. */
  status: number;
  isClosed: boolean;
  /** When the answer was sent or the connection closed, on the same clock; 0 before. */
  answeredAt: number;
}

const MAX_RECORDS = 20_000;

/** Records the requests to the sandbox, newest last. Only the latest 20,000 are sure to be kept. */
export class Journal {
  readonly #clock: Clock;
  #records: RequestRecord[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Call this when a request is answered or its connection has closed. */
  close(record: RequestRecord, status: number): void {
    Object.assign(record, { status, isClosed: true, answeredAt: this.#clock.monotonic() });
  }

  open(method: string, path: string, query: string): RequestRecord {
    const record = {
      at: this.#clock.monotonic(),
      method,
      path,
      query,
      version: null,
      clientId: null,
      status: 0,
      isClosed: false,
      answeredAt: 0,
    };
    if (this.#records.length >= 2 * MAX_RECORDS) this.#records = this.#records.slice(MAX_RECORDS);
    this.#records.push(record);
    return record;
  }

  /** The requests to the REST API, without those to the token endpoint. */
  get requests(): readonly RequestRecord[] {
    return this.#records.filter(record => record.version !== null);
  }

  get tokenRequests(): readonly RequestRecord[] {
    return this.#records.filter(record => record.path === '/oauth/token');
  }

  clear(): void {
    this.#records = [];
  }

  /**
   * The highest number of requests of one client and version in any `windowMs`, including rejected
   * ones.
   */
  worstWindow(windowMs: number): number {
    const moments = new Map<string, number[]>();
    for (const { at, clientId, version } of this.requests) {
      const key = `${clientId} ${version}`;
      const group = moments.get(key);
      if (group) group.push(at);
      else moments.set(key, [at]);
    }
    return Math.max(0, ...[...moments.values()].map(group => worstOf(group, windowMs)));
  }
}

function worstOf(moments: readonly number[], windowMs: number): number {
  let worst = 0;
  let first = 0;
  for (const [last, at] of moments.entries()) {
    while ((moments[first] ?? at) <= at - windowMs) first++;
    worst = Math.max(worst, last - first + 1);
  }
  return worst;
}

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from '../clock.ts';
import { type Client, Clients } from './clients.ts';
import { Faults } from './faults.ts';
import { Journal } from './journal.ts';
import { Random } from './random.ts';
import { RateLimit } from './rate-limit.ts';
import { createSandboxServer } from './server.ts';
import { Tenant } from './tenant.ts';

export interface SandboxOptions {
  host?: string;
  /** The port to listen on; 0, the default, takes any free port. */
  port?: number;
  /** The same seed creates the same tenant. */
  seed?: number;
  /** The number of tasks at the start, 0–20,000. */
  tasks?: number;
  /** Milliseconds between two new tasks; null: no task is created automatically. */
  newTaskEveryMs?: number | null;
  /** A factor by which tasks run faster than in reality. */
  speed?: number;
  /**
   * Whether the tenant has the oddities of live tenants. False: it follows the vendor's
   * specification exactly.
   */
  oddities?: boolean;
  /** Requests per client, version and window; Infinity: no limit. */
  rateLimit?: number;
  rateWindowMs?: number;
  tokenLifetimeSeconds?: number;
  clock?: Clock;
}

/** A running sandbox tenant. */
export interface Sandbox {
  url: string;
  /** An API client of a user, created at the start. */
  client: Client;
  clients: Clients;
  tenant: Tenant;
  faults: Faults;
  journal: Journal;
  close(): Promise<void>;
}

/** Starts a tenant that behaves like the Task Status API, over HTTP on its own port. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { host = '127.0.0.1', port = 0, seed = 1, speed = 1, clock = systemClock } = options;
  const { tasks = 80, newTaskEveryMs = 4_000 / speed, oddities = true } = options;
  const { rateLimit = 100, rateWindowMs = 10_000, tokenLifetimeSeconds = 749 } = options;
  // Each part has its own generator, so that draws of one do not affect the others.
  const clients = new Clients(new Random(seed + 1), clock, tokenLifetimeSeconds);
  const client = clients.add();
  const tenant = new Tenant(new Random(seed), new Random(seed + 4), clock, {
    tasks,
    newTaskEveryMs,
    speed,
    oddities,
  });
  const faults = new Faults(new Random(seed + 2));
  const journal = new Journal(clock);
  const server = createSandboxServer({
    tenant,
    clients,
    faults,
    journal,
    rateLimit: new RateLimit(rateLimit, rateWindowMs, clock),
    random: new Random(seed + 3),
  });
  server.listen(port, host);
  await once(server, 'listening');

  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    client,
    clients,
    tenant,
    faults,
    journal,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

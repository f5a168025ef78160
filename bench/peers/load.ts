import { performance } from 'node:perf_hooks';
import { Client } from 'undici';

/** What a load saw. */
export interface Load {
  answered: number;
  seconds: number;
  /** Milliseconds from request to answer, ascending. */
  latencies: number[];
}

export interface LoadOptions {
  connections: number;
  forMs: number;
  /** The load goes on until so many are answered. */
  operations?: number;
  token: string;
}

/**
 * Posts bodies in turn for so many milliseconds; each connection sends the next once it has an
 * answer.
 */
export async function load(
  url: string,
  bodies: readonly string[],
  { connections, forMs, operations = 0, token }: LoadOptions,
): Promise<Load> {
  const { origin, pathname } = new URL(url);
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json',
    authorization: `Bearer ${token}`,
  };
  const latencies: number[] = [];
  let next = 0;
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: connections }, post));
  const seconds = (performance.now() - startedAt) / 1_000;
  return { answered: latencies.length, seconds, latencies: latencies.sort((a, b) => a - b) };

  async function post(): Promise<void> {
    const client = new Client(origin);
    while (performance.now() - startedAt < forMs || latencies.length < operations) {
      const sentAt = performance.now();
      const body = bodies[next++ % bodies.length]!;
      const answer = await client.request({ path: pathname, method: 'POST', headers, body });
      await answer.body.dump({ limit: Infinity });
      if (answer.statusCode !== 200) throw new Error(`The server answered ${answer.statusCode}.`);
      latencies.push(performance.now() - sentAt);
    }
    await client.close();
  }
}

import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { until } from './until.ts';

/** A proxy whose requests wait until the test lets them pass. */
export interface HeldRequests {
  url: string;
  /** From now on, requests wait, except those for a token. */
  hold(): void;
  /** Resolves once so many requests are waiting. */
  waiting(count: number): Promise<void>;
  /**
   * Lets the waiting requests pass whose target this accepts. Others go on waiting, and so do later
   * ones.
   */
  pass(accepts: (target: string) => boolean): void;
  /** Lets all requests pass, also those that come later. */
  release(): void;
}

export async function startHeldRequests(
  t: Pick<TestContext, 'after'>,
  url: string,
): Promise<HeldRequests> {
  const { hostname, port } = new URL(url);
  let held: { target: string; pass(): void }[] = [];
  let isHolding = false;
  const server = createServer((incoming, response) => {
    const { method, headers, url: path = '' } = incoming;
    const pass = () => {
      const outgoing = request({ hostname, port, path, method, headers }, answer => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      outgoing.on('error', () => response.destroy());
      incoming.pipe(outgoing);
    };
    if (isHolding && !path.startsWith('/oauth/')) held.push({ target: path, pass });
    else pass();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold() {
      isHolding = true;
    },
    waiting: count => until(() => held.length >= count),
    pass,
    release() {
      isHolding = false;
      pass(() => true);
    },
  };

  function pass(accepts: (target: string) => boolean): void {
    const passing = held.filter(({ target }) => accepts(target));
    held = held.filter(({ target }) => !accepts(target));
    for (const request of passing) request.pass();
  }
}

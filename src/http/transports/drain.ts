import type { Server, ServerResponse } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { GatewayError } from '../../errors.ts';

/** What a server has open, and how it ends when the server shuts down. */
export interface Drain {
  /** Whether the shutdown has begun. Responses close their connections from then on. */
  readonly hasBegun: boolean;
  /**
   * Adds an open stream. `end` is called once, when the server shuts down: a stream that is added later is
   * ended at once. The returned function removes a stream that has closed.
   */
  add(end: () => void): () => void;
  /** Begins the shutdown. What is open stays open. */
  begin(): void;
  /**
   * Ends all streams, one after another, within `withinMs` milliseconds. Resolves when they are closed and all
   * requests are answered.
   */
  finish(withinMs: number): Promise<void>;
}

// Clients connect again as their streams end. This is how many of them an instance that takes over can serve.
const STREAMS_PER_STEP = 25;
const STEP_MS = 50;
// A connection that was accepted last has yet to send its request, and so has an idle one of a proxy.
const QUIET_MS = 100;

export function createDrain(server: Server): Drain {
  const streams = new Set<() => void>();
  const exchanges = new Set<ServerResponse>();
  let hasBegun = false;
  let isEnding = false;
  let onActivity = () => {};

  // Before the handler of the request, which may answer at once.
  server.prependListener('request', (_request, response: ServerResponse) => {
    exchanges.add(response);
    onActivity();
    response.once('close', () => {
      exchanges.delete(response);
      onActivity();
    });
    if (hasBegun) response.setHeader('connection', 'close');
  });

  server.on('connection', () => onActivity());
  server.on('upgrade', () => onActivity());

  return {
    get hasBegun() {
      return hasBegun;
    },
    add(end) {
      // Later: the caller needs the function that removes the stream first.
      if (isEnding) queueMicrotask(end);
      streams.add(end);
      return () => {
        streams.delete(end);
        onActivity();
      };
    },
    begin() {
      hasBegun = true;
      for (const response of exchanges)
        if (!response.headersSent) response.setHeader('connection', 'close');
    },
    async finish(withinMs) {
      isEnding = true;
      const isDone = () => streams.size === 0 && exchanges.size === 0;
      const done = new Promise<void>(resolve => {
        let quiet: NodeJS.Timeout | undefined;
        onActivity = () => {
          clearTimeout(quiet);
          if (isDone()) quiet = setTimeout(resolve, QUIET_MS);
        };
        onActivity();
      });
      await endInSteps([...streams], withinMs);
      await done;
    },
  };
}

/** Why a stream ends that its client did not close. */
export function shuttingDown(): GatewayError {
  return new GatewayError('UPSTREAM_UNAVAILABLE', 'The gateway is shutting down.');
}

async function endInSteps(ends: readonly (() => void)[], withinMs: number): Promise<void> {
  const steps = Math.ceil(ends.length / STREAMS_PER_STEP);
  const stepMs = Math.min(STEP_MS, withinMs / steps);
  for (let step = 0; step < steps; step++) {
    if (step > 0) await wait(stepMs);
    const from = step * STREAMS_PER_STEP;
    for (const end of ends.slice(from, from + STREAMS_PER_STEP)) end();
  }
}

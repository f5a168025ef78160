import type { Server, ServerResponse } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { Bag } from '../../bag.ts';
import { GatewayError } from '../../errors.ts';
import { createPipelines } from './pipelines.ts';

/** A stream that the server can end. */
export interface Interruptible {
  interrupt(): void;
}

/** Tracks the open streams and requests of a server, and ends them when it shuts down. */
export interface Drain {
  /**
   * Adds an open stream. It is interrupted once, when the server shuts down, or immediately if that
   * is already ending streams.
   */
  add(stream: Interruptible): void;
  /** Removes a stream that has closed. */
  remove(stream: Interruptible): void;
  /**
   * Begins the shutdown. Open streams and requests continue, but responses close their connections.
   */
  begin(): void;
  /**
   * Ends all streams, one after another. Resolves when they are closed and all requests are
   * answered, or after `graceMs` milliseconds. Shortly before that it calls `giveUp`, so that
   * requests under way are at least refused.
   */
  finish(graceMs: number, giveUp: () => void): Promise<void>;
}

// Shares of the time: to end streams, to answer requests, and then to refuse those that are not
// answered.
const ENDING_SHARE = 0.5;
const ANSWERING_SHARE = 0.9;
const REFUSING_SHARE = 0.05;
// Clients reconnect when their streams end. This limits how many reconnect to the other instances
// at once.
const STREAMS_PER_STEP = 25;
const STEP_MS = 50;
// Wait this long for requests on connections that are new or kept open by a proxy.
const QUIET_MS = 100;

/** Attaches to a server before its other listeners. */
export function createDrain(server: Server): Drain {
  const streams = new Set<Interruptible>();
  const exchanges = new Bag<ServerResponse>();
  let hasBegun = false;
  let isEnding = false;
  let onActivity = () => {};

  // Added before the request handler, which may answer immediately.
  server.prependListener('request', (_request, response: ServerResponse) => {
    const remove = exchanges.add(response);
    onActivity();
    response.once('close', () => {
      remove();
      onActivity();
    });
    if (hasBegun) announceEnds();
  });
  // Prepended last, so that it is called first.
  const pipelines = createPipelines(server);

  server.on('connection', () => onActivity());
  server.on('upgrade', () => onActivity());

  return {
    add(stream) {
      // Not called immediately, because the caller may have to complete it first.
      if (isEnding) queueMicrotask(() => stream.interrupt());
      streams.add(stream);
    },
    remove(stream) {
      if (streams.delete(stream)) onActivity();
    },
    begin() {
      hasBegun = true;
      announceEnds();
    },
    async finish(graceMs, giveUp) {
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
      const finished = endInSteps(streams, graceMs * ENDING_SHARE).then(() => done);
      if (await isSettledWithin(finished, graceMs * ANSWERING_SHARE)) return;
      giveUp();
      await isSettledWithin(finished, graceMs * REFUSING_SHARE);
    },
  };

  /**
   * Says on each connection that it ends with the last response: after that, nothing is sent any
   * more.
   */
  function announceEnds(): void {
    for (const response of exchanges) {
      if (response.headersSent) continue;
      if (pipelines.isLast(response)) response.setHeader('connection', 'close');
      else response.removeHeader('connection');
    }
  }
}

/** The error of a stream that ends because the gateway shuts down. */
export function shuttingDown(): GatewayError {
  return new GatewayError('UPSTREAM_UNAVAILABLE', 'The gateway is shutting down.');
}

async function endInSteps(streams: ReadonlySet<Interruptible>, withinMs: number): Promise<void> {
  const open = [...streams];
  const steps = Math.ceil(open.length / STREAMS_PER_STEP);
  const stepMs = Math.min(STEP_MS, withinMs / steps);
  for (let step = 0; step < steps; step++) {
    if (step > 0) await wait(stepMs);
    const from = step * STREAMS_PER_STEP;
    for (const stream of open.slice(from, from + STREAMS_PER_STEP))
      // It may have ended by itself meanwhile.
      if (streams.has(stream)) stream.interrupt();
  }
}

async function isSettledWithin(work: Promise<void>, ms: number): Promise<boolean> {
  const timer = new AbortController();
  return Promise.race([
    work.then(() => true).finally(() => timer.abort()),
    wait(ms, false, timer).catch(() => true),
  ]);
}

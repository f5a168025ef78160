import { performance } from 'node:perf_hooks';
import { WebSocket } from 'ws';

/** The subscription that all benches use. */
export const PROGRESS =
  'subscription ($id: ID!) { taskProgress(id: $id) { id state percentComplete completionStatus } }';

const PATIENCE_MS = 60_000;

/** The events that subscribers received, and when. */
export interface Received {
  events: number;
  ended: number;
  /** When each event arrived. */
  at: number[];
}

/** Counts an event of one subscriber. */
export function countEvent(received: Received, isEvent: boolean, isEnd: boolean): void {
  if (isEvent) {
    received.events++;
    received.at.push(performance.now());
  }
  if (isEnd) received.ended++;
}

/** Opens a socket with a subscription to each of these tasks. */
export async function openSocket(
  url: string,
  ids: readonly string[],
  received: Received,
): Promise<() => void> {
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
  await new Promise(resolve => socket.once('open', resolve));
  socket.on('message', (data: Buffer) => {
    const message = data.toString();
    if (message.includes('"connection_ack"'))
      for (const [place, id] of ids.entries())
        socket.send(
          JSON.stringify({
            id: String(place),
            type: 'subscribe',
            payload: { query: PROGRESS, variables: { id } },
          }),
        );
    countEvent(received, message.includes('"next"'), message.includes('"COMPLETED"'));
  });
  socket.send('{"type":"connection_init"}');
  return () => socket.terminate();
}

/** A quantile, as a whole number. */
export function at(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
}

/** Waits for the condition, up to a timeout. Events that are missing then count as lost. */
export async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!condition() && performance.now() < end)
    await new Promise(resolve => setTimeout(resolve, 5));
}

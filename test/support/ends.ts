import { createClient as createSseClient } from 'graphql-sse';
import { createClient as createWsClient } from 'graphql-ws';
import { WebSocket } from 'ws';

const PROGRESS =
  'subscription ($id: ID!) { taskProgress(id: $id) { state completed completionStatus effectivePercentComplete } }';

/** The results of the streams of many tasks. */
export interface Ends {
  events: number;
  /** Streams that completed and whose last event has a completion status. */
  ended: number;
  /** Streams that completed and whose last event has none. */
  endedEarly: number;
  /** Streams that ended with an error. */
  failed: number;
  /** Events with a lower percentage than the one before. */
  fell: number;
  /** Tasks that completed without a date. */
  undated: number;
}

/** Subscribes to each task until its stream completes. Updates `ends` continuously. */
export function followToEnds(
  transport: 'sse' | 'ws',
  url: string,
  ids: readonly string[],
): { ends: Ends; finished: Promise<unknown>; close(): Promise<void> } {
  const ends: Ends = { events: 0, ended: 0, endedEarly: 0, failed: 0, fell: 0, undated: 0 };
  const client =
    transport === 'sse'
      ? createSseClient({ url, retryAttempts: 0 })
      : createWsClient({
          url: url.replace('http', 'ws'),
          webSocketImpl: WebSocket,
          retryAttempts: 0,
        });
  return {
    ends,
    finished: Promise.all(ids.map(follow)),
    close: async () => client.dispose(),
  };

  async function follow(id: string): Promise<void> {
    let percent = 0;
    let last: any = null;
    const events: AsyncIterable<any> = client.iterate({ query: PROGRESS, variables: { id } });
    for await (const { data } of events) {
      if (!data) {
        ends.failed++;
        return;
      }
      last = data.taskProgress;
      ends.events++;
      if (last.effectivePercentComplete < percent) ends.fell++;
      percent = last.effectivePercentComplete;
    }
    const isWell = last?.completionStatus && last.state === 'COMPLETED' && percent === 100;
    if (!isWell) ends.endedEarly++;
    else ends.ended++;
    if (isWell && last.completed === null) ends.undated++;
  }
}

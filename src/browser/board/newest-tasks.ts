import { TASK_PAGE } from './documents.ts';
import type { GatewayClient } from './gateway-client.ts';
import type { TaskRow } from './task.ts';

interface TaskPage {
  taskStatuses: {
    nodes: readonly TaskRow[];
    pageInfo: { hasNextPage: boolean; endCursor: string | null };
  };
}

/** A screenful, shown before the snapshot has arrived. */
export const SCREENFUL = 50;
// The most that upstream returns at once.
const PAGE = 250;

/** Reads at most `max` of the tasks that match, newest first, a page at a time. */
export async function* readNewest(
  client: GatewayClient,
  filter: object | null,
  max: number,
): AsyncGenerator<readonly TaskRow[]> {
  let after: string | null = null;
  for (let rest = max; rest > 0; rest -= PAGE) {
    const { taskStatuses }: TaskPage = await client.query(TASK_PAGE, {
      filter,
      first: Math.min(PAGE, rest),
      after,
    });
    yield taskStatuses.nodes;
    if (!taskStatuses.pageInfo.hasNextPage) return;
    after = taskStatuses.pageInfo.endCursor;
  }
}

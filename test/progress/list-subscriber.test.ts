import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ListSubscriber } from '../../src/progress/list-subscriber.ts';
import type { Task } from '../../src/task/task.ts';
import { readAggregation } from '../../src/upstream/aggregation-reader.ts';
import { readRow } from '../../src/upstream/wire.ts';
import { SPECIFIED_ROW } from '../support/row.ts';

function taskOf(id: string, etag: string, processedAccounts?: number): Task {
  const row = { ...SPECIFIED_ROW, id, completed: null, completionStatus: null };
  const aggregation = readAggregation({
    status: 'ACCOUNTS_COLLECTED',
    totalAccounts: 100,
    processedAccounts,
  });
  return {
    ...(readRow(row) as Task),
    etag,
    ...(processedAccounts !== undefined && { aggregation: { aggregation } }),
  };
}

test('while a snapshot is read, readings of aggregations are sent for the tasks that it has sent, never with an older task', async () => {
  const subscriber = new ListSubscriber(
    {},
    { awaitsSnapshot: true, withAggregation: true },
    () => {},
  );
  const received: unknown[] = [];
  const receive = async () => {
    const { value } = await subscriber.mailbox.next();
    const { kind, task } = value;
    const { processedAccounts = null } = task?.aggregation?.aggregation ?? {};
    received.push([kind, task?.id, task?.etag, processedAccounts]);
  };
  const publishReading = (task: Task) => subscriber.publishReading({ kind: 'UPDATED', task });

  publishReading(taskOf('1', 'polled', 10));
  await subscriber.sendSnapshot({
    async *read() {
      yield [taskOf('1', 'listed')];
      await receive();
      publishReading(taskOf('1', 'polled', 20));
      await receive();
      publishReading(taskOf('2', 'polled', 20));
      yield [taskOf('2', 'polled')];
      await receive();
    },
    isUnknown: () => false,
    attach: task => (task.id === '2' ? taskOf('2', task.etag, 20) : task),
  });
  await receive();
  publishReading(taskOf('2', 'polled', 30));
  await receive();

  assert.deepEqual(received, [
    ['SNAPSHOT', '1', 'listed', null],
    ['UPDATED', '1', 'listed', 20],
    ['SNAPSHOT', '2', 'polled', 20],
    ['SNAPSHOT_COMPLETE', undefined, undefined, null],
    ['UPDATED', '2', 'polled', 30],
  ]);
});

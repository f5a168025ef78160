import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { GatewayError } from '../../src/errors.ts';
import { createLog } from '../../src/log.ts';
import { TaskWatch } from '../../src/progress/task-watch.ts';
import { createAggregatedStreams } from '../../src/session/aggregated-streams.ts';
import { type Task, effectivePercentCompleteOf, isCompleted } from '../../src/task/task.ts';
import { readAggregation } from '../../src/upstream/aggregation-reader.ts';
import { readRow } from '../../src/upstream/wire.ts';
import { HandClock } from '../support/hand-clock.ts';
import { SPECIFIED_ROW } from '../support/row.ts';

const processed = fc.nat({ max: 120 });
const anyStep = fc.oneof(
  fc.record({ kind: fc.constant('task' as const), percent: fc.nat({ max: 100 }) }),
  fc.record({ kind: fc.constant('polled' as const), processed }),
  fc.record({ kind: fc.constant('failed' as const) }),
  fc.record({ kind: fc.constant('pass' as const), ms: fc.nat({ max: 3_000 }) }),
);
const anyAnswer = fc.oneof(processed, fc.constantFrom('none', 'fails', 'hangs'));

const aggregationOf = (count: number) =>
  readAggregation({
    status: 'ACCOUNTS_COLLECTED',
    totalAccounts: 100,
    processedAccounts: Math.min(100, count),
  });
const failure = { code: 'FORBIDDEN', message: 'No.', details: {} } as const;

test('whatever is polled, read and answered, each event has its aggregation, percentages never fall, and the end comes last', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyStep, { maxLength: 25 }),
      fc.array(anyAnswer, { minLength: 1, maxLength: 8 }),
      async (steps, answers) => {
        const clock = new HandClock(Date.parse(SPECIFIED_ROW.completed));
        let version = 0;
        const toTask = (change: object): Task => ({
          ...(readRow({
            ...SPECIFIED_ROW,
            completed: null,
            completionStatus: null,
            ...change,
          }) as Task),
          etag: String(version++),
        });
        let loads = 0;
        const streams = createAggregatedStreams({
          aggregations: {
            known: () => undefined,
            load(_task, { signal } = {}) {
              const answer = answers[loads++ % answers.length];
              if (answer === 'none') return Promise.resolve(null);
              if (answer === 'fails')
                return Promise.reject(new GatewayError('RATE_LIMITED', 'Later.'));
              if (typeof answer === 'number') return Promise.resolve(aggregationOf(answer));
              // As long as a request takes at the most.
              return new Promise((_, reject) => {
                clock.after(30_000, () => reject(new GatewayError('UPSTREAM_TIMEOUT', 'Late.')));
                signal?.addEventListener('abort', () => reject(signal.reason));
              });
            },
          },
          clock,
          log: createLog('silent'),
        });
        const watch = new TaskWatch(SPECIFIED_ROW.id, {
          source: { load: async () => null },
          aggregations: { watch() {}, unwatch() {} },
          clock,
          youngForMs: 0,
          onStateNeeded() {},
          onEmpty() {},
        });
        const events: Task[] = [];
        let isOver = false;
        void (async () => {
          for await (const event of streams.attach(watch.subscribe(true), {})) {
            assert.ok(!(event instanceof GatewayError));
            events.push(event);
          }
          isOver = true;
        })();

        watch.onTask(toTask({ percentComplete: 0 }));
        for (const step of steps) {
          if (step.kind === 'task') watch.onTask(toTask({ percentComplete: step.percent }));
          else if (step.kind === 'polled')
            watch.onAggregation({ aggregation: aggregationOf(step.processed) });
          else if (step.kind === 'failed') watch.onAggregation({ failure });
          else clock.advance(step.ms);
          await setImmediate();
        }
        watch.onTask(toTask({ completionStatus: 'SUCCESS' }));
        for (let waits = 0; !isOver && waits < 20; waits++) {
          clock.advance(5_000);
          await setImmediate();
        }

        assert.ok(isOver, 'the stream has ended');
        assert.ok(events.every(({ aggregation }) => aggregation !== undefined));
        const percentages = events.map(effectivePercentCompleteOf);
        assert.deepEqual(
          percentages,
          percentages.toSorted((one, other) => one - other),
        );
        assert.equal(events.filter(isCompleted).length, 1);
        assert.ok(isCompleted(events.at(-1)!));
      },
    ),
    { numRuns: 300 },
  );
});

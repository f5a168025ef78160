import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCapturedLog } from '../support/captured-log.ts';
import { scrape, sumOf } from '../support/exposition.ts';
import { HandClock } from '../support/hand-clock.ts';
import { startGateway } from '../support/start.ts';
import { TRANSPORTS, subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id } }';
/** Upstream is asked for the source's task when an event is executed. */
const READING = `subscription Reading($id: ID!) {
  taskProgress(id: $id) { target { source { latestTask { id } } } }
}`;

for (const transport of TRANSPORTS)
  test(`${transport}: a client that leaves while an event is executed ends its reads, and neither an event nor an error is noted`, async t => {
    const log = createCapturedLog();
    const { gateway, url, tenant, sandbox, requests } = await startGateway(t, {
      log,
      clock: new HandClock(),
    });
    const [source] = tenant.sources;
    const id = tenant.addTask({ queueMs: 0, runMs: 86_400_000, target: source });
    // Whoever subscribes after this one gets the first event without a poll.
    const other = subscribe(t, transport, url, PROGRESS, { id });
    assert.ok((await other.next()).value.data);
    sandbox.faults.order({ fault: { kind: 'latency', ms: 60_000 } });
    const requestsBefore = requests().length;
    const metricsBefore = await scrape(gateway.metricsUrl);

    const reading = subscribe(t, transport, url, READING, { id });
    void reading.next();
    await until(() => requests().length > requestsBefore);
    void reading.return?.();
    let aborted = 0;
    while (aborted === 0)
      aborted = sumOf(
        await scrape(gateway.metricsUrl),
        'task_status_gateway_upstream_requests_total',
        { status: 'aborted' },
      );

    const ended = log.lines.find(({ message }) => message === 'subscription ended');
    assert.deepEqual([ended?.['name'], ended?.['events'], ended?.['codes']], ['Reading', 0, []]);
    assert.ok(!log.lines.some(({ level }) => level === 'error'));
    const eventsIn = (metrics: typeof metricsBefore) =>
      sumOf(metrics, 'task_status_gateway_events_total');
    assert.equal(eventsIn(await scrape(gateway.metricsUrl)), eventsIn(metricsBefore));
  });

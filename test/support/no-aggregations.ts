import type { AggregationFeed } from '../../src/progress/aggregation-feed.ts';

/** A feed for tests whose subscribers select no account aggregations. */
export function openNoAggregations(): AggregationFeed {
  return { watch() {}, unwatch() {}, close() {} };
}

/** How many tasks upstream has. */
export const TASKS = 1_000;

/** Ids of upstream's tasks, newest first. */
export const IDS = Array.from(
  { length: TASKS },
  (_, place) => `5d1f0c9ab2e74b6f8c3d7a90${place.toString(16).padStart(8, '0')}`,
);

const START = Date.parse('2026-08-20T06:00:00.412Z');

/**
 * A finished account aggregation as upstream sends it: what is derived from it does not depend on
 * the time.
 */
export function rowOf(place) {
  const at = seconds => new Date(START - place * 60_000 + seconds * 1_000).toISOString();
  return {
    id: IDS[place],
    type: 'QUARTZ',
    uniqueName: 'Cloud Account Aggregation',
    description: 'Aggregates from the specified application.',
    parentName: null,
    launcher: 'System',
    target: {
      id: `a7b0e2d4c6f84a1993b5d7e9f10${place.toString().padStart(5, '0')}`,
      type: 'APPLICATION',
      name: `Workday ${place} [source]`,
    },
    created: at(0),
    modified: at(222),
    launched: at(1),
    completed: at(221),
    completionStatus: place % 7 === 0 ? 'WARNING' : 'SUCCESS',
    messages:
      place % 7 === 0
        ? [
            {
              type: 'WARN',
              key: 'Account deletion was skipped: 31% exceeds the 10% threshold.',
              localizedText: {
                locale: 'en-US',
                message: 'Account deletion was skipped: 31% exceeds the 10% threshold.',
              },
              parameters: [],
            },
          ]
        : [],
    returns: [
      { name: 'TASK_OUT_ACCOUNT_AGGREGATION_TOTAL', attributeName: 'total' },
      { name: 'TASK_OUT_UNCHANGED_ACCOUNTS', attributeName: 'optimized' },
    ],
    attributes: {
      appId: 'a7b0e2d4c6f84a1993b5d7e9f1032547',
      eventId: 88_213 + place,
      optimizedAggregation: 'enabled',
      total: '1204',
      optimized: '1181',
      updated: '19',
      created: '4',
    },
    progress: null,
    percentComplete: 0,
    taskDefinitionSummary: {
      id: '2c91808475b4334b0175e1dff64b63c5',
      uniqueName: 'Cloud Account Aggregation',
      description: 'Aggregates from the specified application.',
      parentName: 'Cloud Account Aggregation',
      executor: 'sailpoint.task.ServiceTaskExecutor',
      arguments: { serviceMethod: 'accountAggregationTask' },
    },
  };
}

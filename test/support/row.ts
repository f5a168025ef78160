/** A row that follows upstream's specification, with every field. */
export const SPECIFIED_ROW = {
  id: '5d1f0c9ab2e74b6f8c3d7a90e1f2b3c4',
  type: 'QUARTZ',
  uniqueName: 'Cloud Account Aggregation',
  description: 'Aggregates from the specified application.',
  parentName: null,
  launcher: 'System',
  target: {
    id: 'a7b0e2d4c6f84a1993b5d7e9f1032547',
    type: 'APPLICATION',
    name: 'Workday HR [source]',
  },
  created: '2026-08-20T06:00:00.412Z',
  modified: '2026-08-20T06:03:41.090Z',
  launched: '2026-08-20T06:00:00.425Z',
  completed: '2026-08-20T06:03:41.077Z',
  completionStatus: 'WARNING',
  messages: [
    {
      type: 'WARN',
      key: 'deletion_skipped',
      localizedText: { locale: 'en-US', message: 'Account deletion was skipped.' },
      parameters: ['31%', { threshold: 10 }],
    },
  ],
  returns: [{ name: 'TASK_OUT_TOTAL', attributeName: 'total' }],
  attributes: { eventId: 88213, total: '1204', nested: { list: [1, null] } },
  progress: 'Initializing...',
  percentComplete: 50,
  taskDefinitionSummary: {
    id: '2c91808475b4334b0175e1dff64b63c5',
    uniqueName: 'Cloud Account Aggregation definition',
    description: 'Aggregates.',
    parentName: 'Parent',
    executor: 'sailpoint.task.ServiceTaskExecutor',
    arguments: { serviceMethod: 'accountAggregationTask' },
  },
};

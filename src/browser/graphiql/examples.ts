/** The tabs of a first visit, each a need of many clients. Every operation runs as it stands. */
export const EXAMPLES = [
  {
    query: `# The tasks that have not ended.
# Press Ctrl+Enter to run an operation.
query RunningTasks {
  taskStatuses(filter: { completionStatus: { isNull: true } }, first: 10) {
    nodes {
      id
      uniqueName
      state
      effectivePercentComplete
      elapsedSeconds
      estimatedCompletion
      target { name }
    }
  }
}
`,
  },
  {
    query: `# One task with everything that upstream says about it.
# Copy an id from RunningTasks.
query OneTask($id: ID!) {
  taskStatus(id: $id) {
    uniqueName
    state
    completionStatus
    launcher
    created
    launched
    completed
    messages { type localizedText { message } }
    returns { name attributeName }
    attributes
    taskDefinitionSummary { uniqueName executor }
  }
}
`,
    variables: '{ "id": "" }',
  },
  {
    query: `# All running tasks now, then each change.
# The stream lasts until you stop it.
subscription LiveList {
  taskStatusChanged(filter: { completionStatus: { isNull: true } }, snapshot: true) {
    kind
    taskStatus { id uniqueName state effectivePercentComplete progress }
  }
}
`,
  },
  {
    query: `# One task until it has ended. For an account aggregation,
# accountAggregation has the real progress.
subscription RealProgress($id: ID!) {
  taskProgress(id: $id) {
    state
    completionStatus
    effectivePercentComplete
    progress
    accountAggregation { status processedAccounts totalAccounts percentComplete }
  }
}
`,
    variables: '{ "id": "" }',
  },
  {
    query: `# Tasks of a range of creation dates, newest first.
query LastDay($since: DateTime!) {
  taskStatuses(filter: { created: { gte: $since } }, first: 50) {
    totalCount
    nodes { id uniqueName created state completionStatus }
    pageInfo { hasNextPage endCursor }
  }
}
`,
    variables: JSON.stringify({ since: new Date(Date.now() - 86_400_000).toISOString() }),
  },
  {
    query: `# Tasks that failed, with what they said.
query Failures {
  taskStatuses(filter: { completionStatus: { in: [ERROR, TEMPERROR, TERMINATED] } }, first: 20) {
    nodes {
      id
      uniqueName
      completed
      completionStatus
      target { name }
      messages { type localizedText { message } }
    }
  }
}
`,
  },
  {
    query: `# How many tasks there are.
# Each field that you select is one request to upstream.
query Counts {
  taskStatusCounts {
    total
    running
    success
    error
  }
}
`,
  },
  {
    query: `# The tasks of a source.
# sourceId is the target's id of an account aggregation.
query TasksOfSource($sourceId: ID!) {
  taskStatuses(filter: { sourceId: { eq: $sourceId } }, first: 10) {
    nodes { id uniqueName created completionStatus target { id name } }
  }
}
`,
    variables: '{ "sourceId": "" }',
  },
  {
    query: `# Clears a pending task: this edits its record
# and does not stop the job in the tenant.
mutation ClearPendingTask($id: ID!) {
  updateTaskStatus(input: { id: $id, completionStatus: TERMINATED }) {
    taskStatus { id state completionStatus completed }
  }
}
`,
    variables: '{ "id": "" }',
  },
];

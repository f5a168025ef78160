const ROW = `
  id uniqueName launcher target { id type name } created launched completed completionStatus
  rawCompletionStatus state effectivePercentComplete elapsedSeconds estimatedCompletion progress
`;

/** The newest tasks that match, a page at a time. */
export const TASK_PAGE = `query BoardTaskPage($filter: TaskStatusFilter, $first: Int!, $after: String) {
  taskStatuses(filter: $filter, first: $first, after: $after) {
    nodes { ${ROW} }
    pageInfo { hasNextPage endCursor }
  }
}`;

/** Each change; with a snapshot, all tasks that match first. */
export const TASK_CHANGES = `subscription BoardTaskChanges($filter: TaskStatusFilter, $snapshot: Boolean!) {
  taskStatusChanged(filter: $filter, snapshot: $snapshot) { kind taskStatus { ${ROW} } }
}`;

export const TASK_COUNTS = `query BoardTaskCounts($filter: TaskStatusFilter) {
  taskStatusCounts(filter: $filter) { total running success warning error terminated tempError }
}`;

/** Everything about one task, until it has ended. */
export const TASK_DETAIL = `subscription BoardTaskDetail($id: ID!) {
  taskProgress(id: $id) {
    ${ROW}
    description modified
    messages { type key localizedText { message } }
    returns { name attributeName }
    attributes
    taskDefinitionSummary { id uniqueName description parentName executor arguments }
    accountAggregation {
      rawStatus totalAccounts processedAccounts totalIdentities processedIdentities percentComplete
    }
  }
}`;

export const CLEAR_TASK = `mutation BoardClearTask($input: UpdateTaskStatusInput!) {
  updateTaskStatus(input: $input) { taskStatus { id } }
}`;

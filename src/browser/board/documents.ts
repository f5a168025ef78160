const ROW = `
  id uniqueName launcher target { id type name } created launched completed completionStatus
  rawCompletionStatus state effectivePercentComplete elapsedSeconds estimatedCompletion progress
`;

/** The newest tasks that match: a screenful, shown before the snapshot has arrived. */
export const FIRST_TASKS = `query BoardFirstTasks($filter: TaskStatusFilter) {
  taskStatuses(filter: $filter, first: 50) { nodes { ${ROW} } }
}`;

/** All tasks that match, then each change. */
export const TASK_CHANGES = `subscription BoardTaskChanges($filter: TaskStatusFilter) {
  taskStatusChanged(filter: $filter, snapshot: true) { kind taskStatus { ${ROW} } }
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

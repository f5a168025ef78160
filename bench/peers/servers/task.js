/** Fields that GraphQL derives from a row of upstream. */
export const DERIVED = {
  rawType: task => task.type,
  rawCompletionStatus: task => task.completionStatus,
  state: task => {
    if (task.completionStatus !== null) return 'COMPLETED';
    return task.launched === null ? 'PENDING' : 'RUNNING';
  },
  effectivePercentComplete: task =>
    task.completed !== null || task.completionStatus !== null ? 100 : task.percentComplete,
  elapsedSeconds: task => {
    if (task.launched === null) return null;
    const end = task.completed === null ? Date.now() : Date.parse(task.completed);
    return (end - Date.parse(task.launched)) / 1_000;
  },
  estimatedCompletion: task => {
    if (task.launched === null || task.completed !== null || task.percentComplete === 0)
      return null;
    const start = Date.parse(task.launched);
    return new Date(start + ((Date.now() - start) * 100) / task.percentComplete).toISOString();
  },
};

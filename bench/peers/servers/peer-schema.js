import DataLoader from 'dataloader';
import { DERIVED } from './task.js';
import { IDS_PER_REQUEST, createTaskApi } from './task-api.js';

/** The part of the gateway's schema that the workloads use. */
export const typeDefs = `
  scalar DateTime
  scalar JSON
  scalar _Any
  enum TaskType { QUARTZ QPOC QUEUED_TASK UNKNOWN }
  enum TaskCompletionStatus { SUCCESS WARNING ERROR TERMINATED TEMPERROR UNKNOWN }
  enum TaskState { PENDING RUNNING COMPLETED }
  enum TargetType { APPLICATION IDENTITY UNKNOWN }
  enum TaskMessageType { INFO WARN ERROR UNKNOWN }
  type Target { id: ID type: TargetType name: String }
  type LocalizedMessage { locale: String message: String! }
  type TaskStatusMessage {
    type: TaskMessageType! key: String! localizedText: LocalizedMessage parameters: JSON
  }
  type TaskReturnDetails { name: String! attributeName: String! }
  type TaskDefinitionSummary {
    id: ID! uniqueName: String! description: String parentName: String executor: String
    arguments: JSON!
  }
  type TaskStatus {
    id: ID! type: TaskType! uniqueName: String! description: String parentName: String
    launcher: String target: Target created: DateTime! modified: DateTime launched: DateTime
    completed: DateTime completionStatus: TaskCompletionStatus messages: [TaskStatusMessage!]!
    returns: [TaskReturnDetails!]! attributes: JSON! progress: String percentComplete: Int!
    taskDefinitionSummary: TaskDefinitionSummary rawType: String! rawCompletionStatus: String
    state: TaskState! effectivePercentComplete: Int! elapsedSeconds: Float
    estimatedCompletion: DateTime
  }
  type TaskStatusConnection { nodes: [TaskStatus!]! }
  union _Entity = TaskStatus
  type Query {
    taskStatus(id: ID!): TaskStatus
    taskStatuses(first: Int = 50): TaskStatusConnection!
    _entities(representations: [_Any!]!): [_Entity]!
  }
`;

export const resolvers = {
  Query: {
    taskStatus: (_root, { id }, { tasks }) => tasks.load(id),
    taskStatuses: async (_root, { first }, { api, authorization }) => ({
      nodes: await api.newest(first, authorization),
    }),
    _entities: (_root, { representations }, { tasks }) =>
      representations.map(({ id }) => tasks.load(id)),
  },
  _Entity: { __resolveType: () => 'TaskStatus' },
  TaskStatus: DERIVED,
};

/** A context per operation, with a DataLoader of its own, as DataLoader's documentation has it. */
export function createContextFactory(upstream) {
  const api = createTaskApi(upstream);
  return authorization => ({
    api,
    authorization,
    tasks: new DataLoader(
      async ids => {
        const found = await api.byIds(ids, authorization);
        const byId = new Map(found.map(task => [task.id, task]));
        return ids.map(id => byId.get(id) ?? null);
      },
      { maxBatchSize: IDS_PER_REQUEST },
    ),
  });
}

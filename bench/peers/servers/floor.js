import { createServer } from 'node:http';
import { listen } from './listen.js';
import { IDS_PER_REQUEST, createTaskApi } from './task-api.js';
import { DERIVED } from './task.js';

/**
 * The least that a program in Node does: it reads the operation's name and variables, asks
 * upstream, and answers the fields that the workload selects. It knows the workloads by name and no
 * GraphQL.
 */
export function start(upstream) {
  return startFloor(upstream, readTogether);
}

/** The floor, with a way to read several tasks. */
export async function startFloor(upstream, readTasks) {
  const api = createTaskApi(upstream);
  const server = createServer((request, response) => {
    const chunks = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', async () => {
      try {
        const { operationName, variables } = JSON.parse(Buffer.concat(chunks).toString());
        const data = await ANSWERS[operationName](variables, request.headers.authorization);
        const body = Buffer.from(JSON.stringify({ data }));
        response
          .writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
          .end(body);
      } catch (error) {
        response.writeHead(500).end(String(error));
      }
    });
  });
  const ANSWERS = {
    async One({ id }, authorization) {
      return { taskStatus: toSix(await api.byId(id, authorization)) };
    },
    async ListEight(_variables, authorization) {
      return { taskStatuses: { nodes: (await api.newest(250, authorization)).map(toEight) } };
    },
    async ListAll(_variables, authorization) {
      return { taskStatuses: { nodes: (await api.newest(250, authorization)).map(toAll) } };
    },
    async Same(_variables, authorization) {
      return { taskStatuses: { nodes: (await api.newest(50, authorization)).map(toSix) } };
    },
    async Aliases(variables, authorization) {
      const tasks = await readTasks(api, Object.values(variables), authorization);
      return Object.fromEntries(tasks.map((task, place) => [`t${place}`, toThree(task)]));
    },
    async References({ representations }, authorization) {
      const ids = representations.map(({ id }) => id);
      return { _entities: (await readTasks(api, ids, authorization)).map(toFour) };
    },
  };
  return { url: await listen(server, '/graphql') };
}

async function readTogether(api, ids, authorization) {
  const parts = [];
  for (let first = 0; first < ids.length; first += IDS_PER_REQUEST)
    parts.push(api.byIds(ids.slice(first, first + IDS_PER_REQUEST), authorization));
  const byId = new Map((await Promise.all(parts)).flat().map(task => [task.id, task]));
  return ids.map(id => byId.get(id) ?? null);
}

const toThree = task => ({ id: task.id, uniqueName: task.uniqueName, state: DERIVED.state(task) });

const toFour = task => ({ ...toThree(task), percentComplete: task.percentComplete });

const toSix = task => ({
  id: task.id,
  uniqueName: task.uniqueName,
  state: DERIVED.state(task),
  completionStatus: task.completionStatus,
  percentComplete: task.percentComplete,
  created: task.created,
});

const toEight = task => ({
  id: task.id,
  uniqueName: task.uniqueName,
  description: task.description,
  launcher: task.launcher,
  created: task.created,
  completed: task.completed,
  completionStatus: task.completionStatus,
  percentComplete: task.percentComplete,
});

const toAll = task => ({
  id: task.id,
  type: task.type,
  uniqueName: task.uniqueName,
  description: task.description,
  parentName: task.parentName,
  launcher: task.launcher,
  target: { id: task.target.id, type: task.target.type, name: task.target.name },
  created: task.created,
  modified: task.modified,
  launched: task.launched,
  completed: task.completed,
  completionStatus: task.completionStatus,
  messages: task.messages.map(({ type, key, localizedText, parameters }) => ({
    type,
    key,
    localizedText: { locale: localizedText.locale, message: localizedText.message },
    parameters,
  })),
  returns: task.returns.map(({ name, attributeName }) => ({ name, attributeName })),
  attributes: task.attributes,
  progress: task.progress,
  percentComplete: task.percentComplete,
  taskDefinitionSummary: {
    id: task.taskDefinitionSummary.id,
    uniqueName: task.taskDefinitionSummary.uniqueName,
    description: task.taskDefinitionSummary.description,
    parentName: task.taskDefinitionSummary.parentName,
    executor: task.taskDefinitionSummary.executor,
    arguments: task.taskDefinitionSummary.arguments,
  },
  rawType: DERIVED.rawType(task),
  rawCompletionStatus: DERIVED.rawCompletionStatus(task),
  state: DERIVED.state(task),
  effectivePercentComplete: DERIVED.effectivePercentComplete(task),
  elapsedSeconds: DERIVED.elapsedSeconds(task),
  estimatedCompletion: DERIVED.estimatedCompletion(task),
});

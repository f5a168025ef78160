/** An operation as it is posted. */
export interface Operation {
  query: string;
  operationName: string;
  variables: Record<string, unknown>;
}

/**
 * What is measured: the operation with this number, of a few that differ in the tasks they ask for.
 */
export interface Workload {
  name: string;
  /** Operations before the first one that is measured. */
  warmUp: number;
  operation(number: number): Operation;
}

const ALL_FIELDS = `
  id type uniqueName description parentName launcher target { id type name } created modified launched
  completed completionStatus messages { type key localizedText { locale message } parameters }
  returns { name attributeName } attributes progress percentComplete
  taskDefinitionSummary { id uniqueName description parentName executor arguments }
  rawType rawCompletionStatus state effectivePercentComplete elapsedSeconds estimatedCompletion`;

const ALIASES = 50;
const REFERENCES = 250;
const aliases = Array.from({ length: ALIASES }, (_, place) => place);

/** The workloads over tasks of these ids. */
export function createWorkloads(ids: readonly string[]): Workload[] {
  const idAt = (place: number) => ids[place % ids.length]!;
  const fixed = (
    name: string,
    operationName: string,
    selection: string,
    warmUp: number,
  ): Workload => ({
    name,
    warmUp,
    operation: () => ({
      operationName,
      query: `query ${operationName} { ${selection} }`,
      variables: {},
    }),
  });
  return [
    {
      name: 'one task, 6 fields',
      warmUp: 3_000,
      operation: number => ({
        operationName: 'One',
        query:
          'query One($id: ID!) { taskStatus(id: $id) { id uniqueName state completionStatus percentComplete created } }',
        variables: { id: idAt(number * 7) },
      }),
    },
    fixed(
      '250 tasks, 8 fields',
      'ListEight',
      'taskStatuses(first: 250) { nodes { id uniqueName description launcher created completed completionStatus percentComplete } }',
      400,
    ),
    fixed(
      '250 tasks, all fields',
      'ListAll',
      `taskStatuses(first: 250) { nodes { ${ALL_FIELDS} } }`,
      400,
    ),
    {
      name: '50 aliases',
      warmUp: 800,
      operation: number => ({
        operationName: 'Aliases',
        query: `query Aliases(${aliases.map(alias => `$i${alias}: ID!`).join(', ')}) { ${aliases
          .map(alias => `t${alias}: taskStatus(id: $i${alias}) { id uniqueName state }`)
          .join(' ')} }`,
        variables: Object.fromEntries(
          aliases.map(alias => [`i${alias}`, idAt(number * ALIASES + alias)]),
        ),
      }),
    },
    {
      name: '250 references',
      warmUp: 300,
      operation: number => ({
        operationName: 'References',
        query:
          'query References($representations: [_Any!]!) { _entities(representations: $representations) { ... on TaskStatus { id uniqueName state percentComplete } } }',
        variables: {
          representations: Array.from({ length: REFERENCES }, (_, place) => ({
            __typename: 'TaskStatus',
            id: idAt(number * REFERENCES + place),
          })),
        },
      }),
    },
    fixed(
      'the same 50 tasks for all',
      'Same',
      'taskStatuses(first: 50) { nodes { id uniqueName state completionStatus percentComplete created } }',
      1_500,
    ),
  ];
}

import {
  type GraphQLArgument,
  type GraphQLInputType,
  type GraphQLNamedType,
  type OperationTypeNode,
  getNamedType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isListType,
  isNonNullType,
  isObjectType,
  isUnionType,
} from 'graphql';
import { schema } from '../../src/graphql/schema.ts';
import type { Random } from '../../src/sandbox/random.ts';
import { anyJson, anyNumber, anyText, mutateText } from './inputs.ts';

type Kind = `${OperationTypeNode}`;

/** A document: most are valid, or nearly so. `id` is the id of a task that exists. */
export function anyDocument(random: Random, id: string, kind?: Kind): string {
  const operation =
    kind ?? random.pick(['query', 'query', 'query', 'mutation', 'subscription'] as const);
  const type = schema.getRootType(operation as OperationTypeNode)!;
  const variables = random.chance(0.2)
    ? '($id: ID!, $f: TaskStatusFilter, $x: [DateTime!] = [])'
    : '';
  const document = `${operation} ${random.chance(0.2) ? 'Named' : ''}${variables} ${selection(random, type, 4, id)}`;
  const more = random.chance(0.1) ? ` fragment F on TaskStatus { id ...F }` : '';
  return random.chance(0.7) ? document + more : mutateText(random, document + more, 2);
}

function selection(random: Random, type: GraphQLNamedType, depth: number, id: string): string {
  if (isUnionType(type) || isInterfaceType(type)) {
    const [object] = schema.getPossibleTypes(type);
    return `{ __typename ... on ${object!.name} ${selection(random, object!, depth, id)} }`;
  }
  if (!isObjectType(type)) return '';
  const all = Object.values(type.getFields());
  const chosen = Array.from({ length: random.between(1, 4) }, () => random.pick(all));
  const fields = chosen.map((field, place) => {
    const named = getNamedType(field.type);
    const below = isCompositeType(named)
      ? depth > 0
        ? selection(random, named, depth - 1, id)
        : '{ __typename }'
      : '';
    const alias = chosen.indexOf(field) === place ? '' : `a${place}: `;
    const directive = random.chance(0.05)
      ? ` @${random.pick(['skip', 'include'])}(if: ${random.pick(['true', 'false', '$id'])})`
      : '';
    return `${alias}${field.name}${args(random, field.args, id)}${directive} ${below}`;
  });
  return `{ ${fields.join(' ')} }`;
}

function args(random: Random, all: readonly GraphQLArgument[], id: string): string {
  const given = all.filter(({ type }) => isNonNullType(type) || random.chance(0.4));
  if (given.length === 0) return '';
  return `(${given.map(({ name, type }) => `${name}: ${literal(random, type, id)}`).join(', ')})`;
}

function literal(random: Random, type: GraphQLInputType, id: string): string {
  if (random.chance(0.02)) return mutateText(random, JSON.stringify(anyJson(random, 1)), 1);
  if (isNonNullType(type)) return literal(random, type.ofType, id);
  if (random.chance(0.05)) return 'null';
  if (isListType(type))
    return `[${Array.from({ length: random.between(0, 3) }, () => literal(random, type.ofType, id)).join(', ')}]`;
  if (isEnumType(type)) return random.pick(type.getValues()).name;
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields());
    const chosen = type.isOneOf
      ? [random.pick(fields)]
      : fields.filter(field => isNonNullType(field.type) || random.chance(0.3));
    return `{ ${chosen.map(field => `${field.name}: ${literal(random, field.type, id)}`).join(', ')} }`;
  }
  switch (type.name) {
    case 'Int':
      return String(random.chance(0.8) ? random.between(-1, 251) : anyNumber(random));
    case 'Boolean':
      return String(random.chance(0.5));
    case 'DateTime':
      return random.chance(0.7) ? '"2026-08-20T06:00:00Z"' : JSON.stringify(anyText(random));
    case '_Any':
      return random.pick([
        '{ __typename: "TaskStatus", id: "x" }',
        '{ __typename: "Source", id: "y" }',
        '{ __typename: "Nope" }',
        '{}',
        '7',
      ]);
    default:
      return random.chance(0.5) ? JSON.stringify(id) : JSON.stringify(anyText(random));
  }
}

/** The members of a request, most of them as they should be. */
export function anyOperation(random: Random, id: string, kind?: Kind): Record<string, unknown> {
  const operation: Record<string, unknown> = { query: anyDocument(random, id, kind) };
  if (random.chance(0.4))
    operation['variables'] = random.chance(0.6) ? { id, f: anyJson(random, 2) } : anyJson(random);
  if (random.chance(0.1))
    operation['operationName'] = random.pick(['Named', '', null, anyJson(random, 1)]);
  if (random.chance(0.1)) operation['extensions'] = anyExtensions(random);
  if (random.chance(0.05)) operation['documentId'] = anyJson(random, 1);
  if (random.chance(0.05)) delete operation['query'];
  if (random.chance(0.05)) operation[anyText(random, 5)] = anyJson(random, 1);
  return operation;
}

function anyExtensions(random: Random): unknown {
  return random.pick([
    () => anyJson(random),
    () => ({
      persistedQuery: {
        version: anyJson(random, 0),
        sha256Hash: random.pick([random.hex(64), anyJson(random, 1)]),
      },
    }),
    () => ({ subscription: anyJson(random), operationId: anyJson(random, 1) }),
  ])();
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { composeServices as composeByApollo } from '@apollo/composition';
import { composeServices as composeByGuild } from '@theguild/federation-composition';
import { LATEST_ROUTER_COMPATIBILITY_VERSION, federateSubgraphs } from '@wundergraph/composition';
import { type DocumentNode, isInputObjectType, parse, print } from 'graphql';
import { fetchSdl } from '../../examples/federation/compose.ts';
import { startSources } from '../../examples/federation/sources.ts';
import { FEDERATION_VERSIONS } from '../../src/graphql/federation-version.ts';
import { schema } from '../../src/graphql/schema.ts';
import { printSubgraphSdl } from '../../src/graphql/sdl.ts';
import { startGateway } from '../support/start.ts';

/** A subgraph that owns the entities of which this one knows only the ids, with the same fields. */
const OWNER = /* GraphQL */ `
  extend schema
    @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@shareable", "@tag"])

  scalar JSON
  type Query {
    sources: [Source!]!
    identities: [Identity!]!
    taskDefinitions: [TaskDefinitionSummary!]!
    pages: PageInfo!
    lastFailure: TaskStatus
  }
  type Source @key(fields: "id") {
    id: ID!
    name: String! @tag(name: "internal")
  }
  type Identity @key(fields: "id") {
    id: ID!
    email: String
  }
  type TaskDefinitionSummary @key(fields: "id") @shareable {
    id: ID!
    uniqueName: String!
    description: String
    parentName: String
    executor: String
    arguments: JSON!
  }
  type TaskStatus @key(fields: "id", resolvable: false) {
    id: ID!
  }
  type PageInfo @shareable {
    hasNextPage: Boolean!
    hasPreviousPage: Boolean!
    startCursor: String
    endCursor: String
  }
`;

/**
 * A subgraph of another team over the same vendor's API, with every name that such a team would
 * give.
 */
const NEIGHBOUR = /* GraphQL */ `
  extend schema
    @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@shareable"])

  scalar DateTime
  scalar JSON
  interface Node {
    id: ID!
  }
  type Query {
    node(id: ID!): Node
    nodes(ids: [ID!]!): [Node]!
    accounts(
      filter: AccountFilter
      orderBy: Order
      first: Int
      after: String
      last: Int
      before: String
    ): AccountConnection!
    accountCounts(filter: AccountFilter): Counts!
    lastTarget: Target
    definition: TaskDefinitionSummary
    messages: [TaskStatusMessage!]!
    returns: [TaskReturnDetails!]!
  }
  type Subscription {
    accountChanged(filter: AccountFilter, snapshot: Boolean = false): AccountChange!
  }
  type Mutation {
    updateAccount(input: UpdateAccountInput!): UpdateAccountPayload!
  }
  type Account implements Node @key(fields: "id") {
    id: ID!
    nodeId: ID!
    created: DateTime!
    attributes: JSON!
    source: Source
    identity: Identity
  }
  type AccountConnection {
    edges: [AccountEdge!]!
    nodes: [Account!]!
    pageInfo: PageInfo!
    totalCount: Int!
  }
  type AccountEdge {
    cursor: String!
    node: Account!
  }
  type PageInfo @shareable {
    hasNextPage: Boolean!
    hasPreviousPage: Boolean!
    startCursor: String
    endCursor: String
  }
  type AccountChange {
    kind: ChangeKind!
    account: Account
  }
  enum ChangeKind {
    SNAPSHOT
    ADDED
  }
  type Counts {
    total: Int!
  }
  input AccountFilter {
    id: IDFilter
    name: StringFilter
    created: DateTimeFilter
    status: CompletionStatusFilter
  }
  input IDFilter {
    equals: ID
  }
  input StringFilter {
    contains: String!
  }
  input DateTimeFilter {
    after: DateTime
  }
  input CompletionStatusFilter {
    eq: CompletionStatus
  }
  enum CompletionStatus {
    Success
    Error
  }
  input Order {
    field: OrderField!
    direction: OrderDirection!
  }
  enum OrderField {
    NAME
  }
  enum OrderDirection {
    ASCENDING
    DESCENDING
  }
  input UpdateAccountInput {
    id: ID!
  }
  type UpdateAccountPayload {
    account: Account
  }
  type Source @key(fields: "id") {
    id: ID!
    nodeId: ID!
    name: String!
  }
  type Identity implements Node @key(fields: "id") {
    id: ID!
    name: String!
  }
  type Target @shareable {
    id: ID
    type: TargetType
    rawType: String
    name: String
    source: Source
    identity: Identity
  }
  enum TargetType {
    APPLICATION
    IDENTITY
    ENTITLEMENT
  }
  type TaskDefinitionSummary @key(fields: "id") @shareable {
    id: ID!
    uniqueName: String!
    description: String
    parentName: String
    executor: String
    arguments: JSON!
  }
  type TaskStatusMessage @shareable {
    type: TaskMessageType!
    key: String!
    localizedText: LocalizedMessage
    parameters: JSON
  }
  enum TaskMessageType {
    INFO
    WARN
    ERROR
  }
  type LocalizedMessage @shareable {
    locale: String!
    message: String!
  }
  type TaskReturnDetails @shareable {
    name: String!
    attributeName: String!
  }
`;

interface Composition {
  supergraphSdl: string;
  errors: string[];
  hints: string[];
}

type Services = { name: string; url: string; typeDefs: DocumentNode }[];

const COMPOSERS: Record<string, (services: Services) => Composition> = {
  apollo(services) {
    const { supergraphSdl = '', errors = [], hints = [] } = composeByApollo(services);
    return { supergraphSdl, errors: errors.map(String), hints: hints.map(String) };
  },
  guild(services) {
    const { supergraphSdl = '', errors = [] } = composeByGuild(services);
    return { supergraphSdl, errors: errors.map(String), hints: [] };
  },
  wundergraph(services) {
    const result = federateSubgraphs({
      subgraphs: services.map(({ typeDefs, ...service }) => ({
        ...service,
        definitions: typeDefs,
      })),
      version: LATEST_ROUTER_COMPATIBILITY_VERSION,
    });
    return {
      supergraphSdl: result.success ? print(result.federatedGraphAST) : '',
      errors: result.success ? [] : result.errors.map(String),
      hints: result.warnings.map(String),
    };
  },
};

for (const [composer, compose] of Object.entries(COMPOSERS)) {
  test(`${composer}: composes with a subgraph that owns sources, with neither an error nor a hint`, async t => {
    const { url } = await startGateway(t);
    const sources = await startSources([]);
    t.after(() => sources.close());
    const services = await Promise.all(
      Object.entries({ tasks: url, sources: sources.url }).map(async ([name, address]) => ({
        name,
        url: address,
        typeDefs: parse(await fetchSdl(address)),
      })),
    );
    const { supergraphSdl, errors, hints } = compose(services);
    assert.deepEqual(errors, []);
    assert.deepEqual(hints, []);
    assert.match(supergraphSdl, /type Subscription/);
  });

  test(`${composer}: composes with a subgraph that owns or references every entity`, () => {
    const { supergraphSdl, errors, hints } = compose([
      { name: 'tasks', url: 'http://tasks', typeDefs: parse(printSubgraphSdl(schema)) },
      { name: 'owner', url: 'http://owner', typeDefs: parse(OWNER) },
    ]);
    assert.deepEqual(errors, []);
    // Each subgraph has its own description of the scalar, or none.
    assert.deepEqual(
      hints.filter(hint => !/JSON/.test(hint)),
      [],
    );
    assert.match(supergraphSdl, /updateTaskStatus[^}]*@tag\(name: "write"\)/s);
  });

  for (const version of FEDERATION_VERSIONS)
    test(`${composer}: composes as federation ${version} with a neighbour that has every name that another team would give`, () => {
      const { supergraphSdl, errors } = compose([
        { name: 'tasks', url: 'http://tasks', typeDefs: parse(printSubgraphSdl(schema, version)) },
        { name: 'neighbour', url: 'http://neighbour', typeDefs: parse(NEIGHBOUR) },
      ]);
      assert.deepEqual(errors, []);
      assert.match(supergraphSdl, /taskStatusCounts/);
      // The graph has one `node` field, the neighbour's.
      assert.doesNotMatch(supergraphSdl, /node\(nodeId/);
      // WunderGraph's router takes costs from a configuration of its own.
      if (version !== '2.9' || composer === 'wundergraph') return;
      assert.match(
        supergraphSdl,
        /messages: \[TaskStatusMessage!\]![^\n]* @listSize\(assumedSize: 10/,
      );
      assert.match(supergraphSdl, /effectivePercentComplete: Int![^\n]* @cost\(weight: 1\)/);
    });
}

test('the SDL for composition omits the federation machinery and @oneOf, which is still enforced', async t => {
  const { url, query, requests } = await startGateway(t);
  const sdl = await fetchSdl(url);
  assert.equal(sdl, printSubgraphSdl(schema));
  assert.doesNotMatch(sdl, /_Any|_Entity|_Service|_entities|_service|@oneOf|directive @/);

  const { errors } = await query(
    '{ taskStatuses(filter: { id: { eq: "a", in: ["b"] } }) { nodes { id } } }',
  );
  assert.equal(errors?.[0]?.extensions.code, 'BAD_USER_INPUT');
  assert.equal(requests().length, 0);
  const filter = schema.getType('TaskStatusIDFilter');
  assert.ok(
    isInputObjectType(filter) && filter.isOneOf,
    'the schema that is served is the one it was',
  );
});

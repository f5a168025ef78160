import assert from 'node:assert/strict';
import { test } from 'node:test';
import { composeServices as composeByApollo } from '@apollo/composition';
import { composeServices as composeByGuild } from '@theguild/federation-composition';
import { isInputObjectType, parse } from 'graphql';
import { fetchSdl } from '../../examples/federation/compose.ts';
import { startSources } from '../../examples/federation/sources.ts';
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

const COMPOSERS = {
  apollo: (services: Parameters<typeof composeByApollo>[0]) => {
    const { supergraphSdl, errors = [], hints = [] } = composeByApollo(services);
    return { supergraphSdl, errors, hints: hints.map(String) };
  },
  guild: (services: Parameters<typeof composeByGuild>[0]) => {
    const { supergraphSdl, errors = [] } = composeByGuild(services);
    return { supergraphSdl, errors, hints: [] as string[] };
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
    assert.deepEqual(errors.map(String), []);
    assert.deepEqual(hints, []);
    assert.match(supergraphSdl ?? '', /type Subscription/);
  });

  test(`${composer}: composes with a subgraph that owns or references every entity`, () => {
    const { supergraphSdl, errors, hints } = compose([
      { name: 'tasks', url: 'http://tasks', typeDefs: parse(printSubgraphSdl(schema)) },
      { name: 'owner', url: 'http://owner', typeDefs: parse(OWNER) },
    ]);
    assert.deepEqual(errors.map(String), []);
    // Each subgraph has its own description of the scalar, or none.
    assert.deepEqual(
      hints.filter(hint => !/JSON/.test(hint)),
      [],
    );
    assert.match(supergraphSdl ?? '', /updateTaskStatus[^}]*@tag\(name: "write"\)/s);
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
  const filter = schema.getType('IDFilter');
  assert.ok(
    isInputObjectType(filter) && filter.isOneOf,
    'the schema that is served is the one it was',
  );
});

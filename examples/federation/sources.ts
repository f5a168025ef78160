import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createSchema, createYoga } from 'graphql-yoga';

/** A source, with the fields that this subgraph owns. */
export interface Source {
  id: string;
  name: string;
  owner: string;
}

/** A running subgraph. */
export interface Subgraph {
  url: string;
  close(): Promise<void>;
}

const SDL = /* GraphQL */ `
  schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"]) {
    query: Query
  }

  type Query {
    sources: [Source!]!
    source(id: ID!): Source
  }

  type Source @key(fields: "id") {
    id: ID!
    name: String!
    owner: String!
  }
`;

// The federation fields that every subgraph has but does not list in its SDL.
const MACHINERY = /* GraphQL */ `
  directive @key(fields: String!) repeatable on OBJECT
  directive @link(url: String!, import: [String]) repeatable on SCHEMA
  scalar _Any
  union _Entity = Source
  type _Service {
    sdl: String!
  }
  extend type Query {
    _entities(representations: [_Any!]!): [_Entity]!
    _service: _Service!
  }
`;

/** Serves the sources of a tenant as a subgraph: `Source` is its entity. */
export async function startSources(sources: readonly Source[], port = 0): Promise<Subgraph> {
  const byId = new Map(sources.map(source => [source.id, source]));
  const schema = createSchema({
    typeDefs: `${SDL}${MACHINERY}`,
    resolvers: {
      Query: {
        sources: () => sources,
        source: (_root: unknown, { id }: { id: string }) => byId.get(id) ?? null,
        _service: () => ({ sdl: SDL }),
        _entities: (_root: unknown, { representations }: { representations: Source[] }) =>
          representations.map(({ id }) => byId.get(id) ?? null),
      },
      _Entity: { __resolveType: () => 'Source' },
    },
  });
  const server = createServer(createYoga({ schema, logging: false }));
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

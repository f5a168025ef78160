import fastify from 'fastify';
import mercurius from 'mercurius';
import { createContextFactory, resolvers, typeDefs } from './peer-schema.js';

/** Mercurius with DataLoader, each document compiled at its first use. */
export async function start(upstream) {
  const createContext = createContextFactory(upstream);
  const { _Entity, ...types } = resolvers;
  const app = fastify();
  app.register(mercurius, {
    schema: typeDefs,
    resolvers: { ...types, _Entity: { resolveType: _Entity.__resolveType } },
    context: ({ headers }) => createContext(headers.authorization),
    jit: 1,
  });
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  return { url: `${url}/graphql` };
}

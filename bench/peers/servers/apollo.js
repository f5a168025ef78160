import { ApolloServer } from '@apollo/server';
import { startStandaloneServer } from '@apollo/server/standalone';
import { createContextFactory, resolvers, typeDefs } from './peer-schema.js';

/** Apollo Server with DataLoader. */
export async function start(upstream) {
  const createContext = createContextFactory(upstream);
  return startStandaloneServer(new ApolloServer({ typeDefs, resolvers }), {
    listen: { port: 0, host: '127.0.0.1' },
    context: async ({ req }) => createContext(req.headers.authorization),
  });
}

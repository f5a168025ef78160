import { createServer } from 'node:http';
import { createSchema, createYoga } from 'graphql-yoga';
import { listen } from './listen.js';
import { createContextFactory, resolvers, typeDefs } from './peer-schema.js';

/** GraphQL Yoga with DataLoader. */
export async function start(upstream) {
  const createContext = createContextFactory(upstream);
  const yoga = createYoga({
    schema: createSchema({ typeDefs, resolvers }),
    context: ({ request }) => createContext(request.headers.get('authorization')),
    logging: false,
  });
  return { url: await listen(createServer(yoga), '/graphql') };
}

import { GatewayError } from '../errors.ts';
import { builder } from './builder.ts';
import { printSubgraphSdl } from './sdl.ts';

const Service = builder.objectRef<{ sdl: string }>('_Service').implement({
  description: 'This subgraph, as composition wants to know it.',
  fields: t => ({
    sdl: t.exposeString('sdl', {
      description: 'The schema of the subgraph, with its directives.',
    }),
  }),
});

builder.queryField('_service', t =>
  t.field({
    type: Service,
    description: 'What this subgraph brings to a larger graph.',
    resolve(_root, _args, { mayReadSchema }, { schema }) {
      if (mayReadSchema) return { sdl: printSubgraphSdl(schema) };
      throw new GatewayError('FORBIDDEN', 'The schema is told to the router only.');
    },
  }),
);

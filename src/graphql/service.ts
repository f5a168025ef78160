import { GatewayError } from '../errors.ts';
import { builder } from './builder.ts';
import { costs } from './cost.ts';

const Service = builder.objectRef<{ sdl: string }>('_Service').implement({
  description: "This subgraph's schema for composition.",
  fields: t => ({
    sdl: t.exposeString('sdl', {
      // The SDL is about as long as the response to a thousand fields.
      extensions: costs({ field: 1_000 }),
      description: 'The SDL of the subgraph, with its directives.',
    }),
  }),
});

builder.queryField('_service', t =>
  t.field({
    type: Service,
    description: 'The schema that this subgraph contributes to a supergraph.',
    async resolve(_root, _args, { subgraphSdl }) {
      const sdl = await subgraphSdl();
      if (sdl !== null) return { sdl };
      throw new GatewayError('FORBIDDEN', 'Only the router may read the schema.');
    },
  }),
);

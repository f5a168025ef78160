import { GatewayError } from '../errors.ts';
import { builder } from './builder.ts';
import { costs } from './cost.ts';

const Service = builder.objectRef<{ sdl: string }>('_Service').implement({
  description: 'This subgraph, as composition wants to know it.',
  fields: t => ({
    sdl: t.exposeString('sdl', {
      // As long as a thousand fields.
      extensions: costs({ field: 1_000 }),
      description: 'The schema of the subgraph, with its directives.',
    }),
  }),
});

builder.queryField('_service', t =>
  t.field({
    type: Service,
    description: 'What this subgraph brings to a larger graph.',
    resolve(_root, _args, { subgraphSdl }) {
      const sdl = subgraphSdl();
      if (sdl !== null) return { sdl };
      throw new GatewayError('FORBIDDEN', 'The schema is told to the router only.');
    },
  }),
);

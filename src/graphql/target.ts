import type { Target as TargetData } from '../task/task.ts';
import { builder } from './builder.ts';
import { TargetType } from './enums.ts';
import { Source } from './source.ts';

const Identity = builder.objectRef<{ id: string }>('Identity').implement({
  description: 'An identity of the tenant. Another subgraph owns it; this one knows only its id.',
  directives: { key: { fields: 'id', resolvable: false } },
  fields: t => ({ id: t.exposeID('id', { description: 'The id of the identity.' }) }),
});

export const Target = builder.objectRef<TargetData>('Target').implement({
  description: 'The object that a task runs against.',
  directives: { shareable: {} },
  fields: t => ({
    id: t.exposeID('id', { nullable: true, description: 'The id of the source or identity.' }),
    type: t.expose('type', {
      type: TargetType,
      nullable: true,
      description: 'The kind of object that the id identifies.',
    }),
    rawType: t.exposeString('rawType', {
      nullable: true,
      description: 'The type exactly as upstream sent it.',
    }),
    name: t.exposeString('name', {
      nullable: true,
      description: 'The display name, such as `Workday HR [source]`.',
    }),
    source: t.field({
      type: Source,
      nullable: true,
      description: 'The source, if `type` is APPLICATION.',
      resolve: target => keyOf(target, 'APPLICATION'),
    }),
    identity: t.field({
      type: Identity,
      nullable: true,
      description: 'The identity, if `type` is IDENTITY.',
      resolve: target => keyOf(target, 'IDENTITY'),
    }),
  }),
});

function keyOf({ id, type }: TargetData, targetType: TargetData['type']): { id: string } | null {
  return type === targetType && id !== null ? { id } : null;
}

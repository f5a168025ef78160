import { collectSubFields } from '@graphql-tools/utils';
import { type FieldNode, type GraphQLResolveInfo, getNamedType, isObjectType } from 'graphql';

/** Whether an operation selects the field at `path` below the one being resolved. */
export function selects(
  { schema, fragments, variableValues, returnType, fieldNodes }: GraphQLResolveInfo,
  ...path: string[]
): boolean {
  let type = getNamedType(returnType);
  let nodes: readonly FieldNode[] = fieldNodes;
  for (const name of path) {
    if (!isObjectType(type)) return false;
    const { fields } = collectSubFields(schema, fragments, variableValues, type, [...nodes]);
    // Compare names rather than response keys, because a field may have an alias or several.
    nodes = [...fields.values()].flat().filter(node => node.name.value === name);
    const field = type.getFields()[name];
    if (nodes.length === 0 || !field) return false;
    type = getNamedType(field.type);
  }
  return true;
}

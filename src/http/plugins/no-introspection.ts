import {
  type ASTVisitor,
  BREAK,
  GraphQLError,
  type ValidationContext,
  getNamedType,
  isIntrospectionType,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';

/** Refuses introspection with one error, over all transports. */
export function useNoIntrospection(): Plugin {
  return {
    onValidate: ({ addValidationRule }) => addValidationRule(NoIntrospectionRule),
  };
}

/** graphql-js has such a rule too, but it reports every field below `__schema` as well. */
function NoIntrospectionRule(context: ValidationContext): ASTVisitor {
  return {
    Field(node) {
      const type = getNamedType(context.getType());
      if (!type || !isIntrospectionType(type)) return undefined;
      context.reportError(
        new GraphQLError(
          `Introspection is off: INTROSPECTION does not allow \`${node.name.value}\`.`,
          { nodes: node },
        ),
      );
      return BREAK;
    },
  };
}

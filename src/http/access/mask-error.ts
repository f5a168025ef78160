import { GraphQLError } from 'graphql';
import { ERROR_CODES, type ErrorCode, GatewayError } from '../../errors.ts';
import type { Log } from '../../log.ts';

/** Makes of any error the one that a caller may see, with a code; logs what is a bug. */
export type MaskError = (error: unknown) => GraphQLError;

export function createMaskError(log: Log): MaskError {
  return error => {
    const origin = originOf(error);
    if (origin instanceof GatewayError)
      return toGraphQLError(error, origin.message, { ...origin.extensions });
    // What graphql-js or a library over it finds wrong: the document, a variable, the request. Each
    // has codes of its own, which clients of this gateway are not told of.
    if (origin instanceof GraphQLError)
      return toGraphQLError(error, origin.message, {
        ...origin.extensions,
        code:
          ERROR_CODES.find(code => code === origin.extensions['code']) ??
          ('BAD_USER_INPUT' satisfies ErrorCode),
      });
    log.error({ err: origin }, 'unexpected error');
    return toGraphQLError(error, 'Unexpected error.', { code: 'INTERNAL_SERVER_ERROR' });
  };
}

/** The error that was thrown, inside those that tell where. */
function originOf(error: unknown): unknown {
  return error instanceof GraphQLError && error.originalError
    ? originOf(error.originalError)
    : error;
}

function toGraphQLError(
  error: unknown,
  message: string,
  extensions: Record<string, unknown>,
): GraphQLError {
  const place =
    error instanceof GraphQLError
      ? { nodes: error.nodes, source: error.source, positions: error.positions, path: error.path }
      : {};
  return new GraphQLError(message, { ...place, extensions });
}

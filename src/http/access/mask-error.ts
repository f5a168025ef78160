import { GraphQLError } from 'graphql';
import { ERROR_CODES, type ErrorCode, GatewayError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { httpOf, withHttp } from './refusal.ts';

/** Converts any error into one with a code that a caller may see. Logs unexpected errors. */
export type MaskError = (error: unknown) => GraphQLError;

/**
 * With `hidesSuggestions`, the "Did you mean" part of messages, which reveals names of the schema,
 * is removed.
 */
export function createMaskError(
  log: Log,
  { hidesSuggestions }: { hidesSuggestions: boolean },
): MaskError {
  const masked = new WeakSet<object>();
  return error => {
    const result = mask(error);
    masked.add(result);
    return result;
  };

  function mask(error: unknown): GraphQLError {
    const origin = originOf(error);
    // Some errors of parsing are masked twice.
    if (origin instanceof GraphQLError && masked.has(origin))
      return toGraphQLError(error, origin.message, { ...origin.extensions });
    if (origin instanceof GatewayError)
      return toGraphQLError(error, origin.message, { ...origin.extensions });
    // Errors of graphql-js and related libraries about the document, a variable or the request.
    // Their codes and extensions are not part of this gateway's contract.
    if (origin instanceof GraphQLError)
      return toGraphQLError(error, hidesSuggestions ? plain(origin.message) : origin.message, {
        code: codeOf(error),
      });
    log.error({ err: origin }, 'unexpected error');
    return toGraphQLError(error, 'Unexpected error.', { code: 'INTERNAL_SERVER_ERROR' });
  }
}

/** The code that an error has once it is masked. */
export function codeOf(error: unknown): ErrorCode {
  const origin = originOf(error);
  if (origin instanceof GatewayError) return origin.code;
  if (!(origin instanceof GraphQLError)) return 'INTERNAL_SERVER_ERROR';
  return ERROR_CODES.find(code => code === origin.extensions['code']) ?? 'BAD_USER_INPUT';
}

function plain(message: string): string {
  return message.replace(/ ?Did you mean [^]*\?$/, '');
}

/** The error that was thrown, without the GraphQLErrors that wrap it. */
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
  const masked = new GraphQLError(message, { ...place, extensions });
  const http = httpOf(error);
  return http ? withHttp(masked, http) : masked;
}

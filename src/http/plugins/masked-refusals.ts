import type { GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { MaskError } from '../access/mask-error.ts';
import { httpOf, withHttp } from '../access/refusal.ts';

/** Adds a code to errors of parsing and validation, like that of execution errors. */
export function useMaskedRefusals(maskError: MaskError): Plugin {
  return {
    onParse:
      () =>
      ({ result, replaceParseResult }) => {
        if (result instanceof Error) replaceParseResult(maskError(result));
      },
    onValidate:
      () =>
      ({ valid, result, setResult }) => {
        if (!valid) setResult(result.map(toRefusal));
      },
  };

  function toRefusal(error: unknown): GraphQLError {
    // Set here and out of sight: Yoga would add an enumerable one, which streams and sockets would
    // send.
    return withHttp(maskError(error), httpOf(error) ?? { status: 400, spec: true });
  }
}

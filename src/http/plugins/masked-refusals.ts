import type { Plugin } from 'graphql-yoga';
import type { MaskError } from '../access/mask-error.ts';

/** Gives the errors of parsing and validating a code, as those of executing have one. */
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
        if (!valid) setResult(result.map(maskError));
      },
  };
}

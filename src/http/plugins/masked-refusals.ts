import type { Plugin } from 'graphql-yoga';
import type { MaskError } from '../access/mask-error.ts';

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
        if (!valid) setResult(result.map(maskError));
      },
  };
}

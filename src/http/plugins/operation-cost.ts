import type { ExecutionArgs } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Context } from '../../graphql/builder.ts';
import { type CostLimits, checkCost } from '../../graphql/cost.ts';
import type { MaskError } from '../access/mask-error.ts';
import { withHttp } from '../access/refusal.ts';

/** Refuses an operation that costs too much, with one error, before it is executed. */
export function useOperationCost(limits: CostLimits, maskError: MaskError): Plugin<Context> {
  return {
    onExecute: ({ args, setResultAndStopExecution }) => {
      const errors = errorsOf(args);
      if (errors) setResultAndStopExecution({ errors });
    },
    onSubscribe: ({ args, setResultAndStopExecution }) => {
      const errors = errorsOf(args);
      if (errors) setResultAndStopExecution({ errors });
    },
  };

  function errorsOf(args: ExecutionArgs) {
    try {
      return checkCost(args, limits);
    } catch (error) {
      return [withHttp(maskError(error), { status: 400, spec: true })];
    }
  }
}

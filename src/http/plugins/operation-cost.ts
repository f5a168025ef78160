import type { ExecutionArgs, GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Context } from '../../graphql/builder.ts';
import { type CostLimits, createCostCheck } from '../../graphql/cost.ts';
import type { MaskError } from '../access/mask-error.ts';
import { withHttp } from '../access/refusal.ts';

/** The refusal of an operation that costs too much; null if it may be executed. */
export type RefuseByCost = (args: ExecutionArgs) => GraphQLError | null;

export function createRefuseByCost(limits: CostLimits, maskError: MaskError): RefuseByCost {
  const checkCost = createCostCheck(limits);
  return args => {
    try {
      checkCost(args);
      return null;
    } catch (error) {
      return withHttp(maskError(error), { status: 400, spec: true });
    }
  };
}

/** Refuses an operation that costs too much, with one error, before it is executed. */
export function useOperationCost(refuseByCost: RefuseByCost): Plugin<Context> {
  return {
    onExecute: ({ args, setResultAndStopExecution }) => {
      const error = refuseByCost(args);
      if (error !== null) setResultAndStopExecution({ errors: [error] });
    },
    onSubscribe: ({ args, setResultAndStopExecution }) => {
      const error = refuseByCost(args);
      if (error !== null) setResultAndStopExecution({ errors: [error] });
    },
  };
}

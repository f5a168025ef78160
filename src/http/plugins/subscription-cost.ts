import type { Plugin } from 'graphql-yoga';
import type { Context } from '../../graphql/builder.ts';
import { checkSubscription } from '../../graphql/cost.ts';
import type { MaskError } from '../access/mask-error.ts';

/** Refuses a subscription that costs too much before it begins. */
export function useSubscriptionCost(maskError: MaskError): Plugin<Context> {
  return {
    onSubscribe({ args, setResultAndStopExecution }) {
      try {
        checkSubscription(args, args.contextValue.limits);
      } catch (error) {
        setResultAndStopExecution({ errors: [maskError(error)] });
      }
    },
  };
}

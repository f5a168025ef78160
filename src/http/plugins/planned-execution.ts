import type { Plugin } from 'graphql-yoga';
import { createExecutePlanned } from '../../graphql/execution/execute.ts';

/** Executes operations with cached plans. Yoga's executor executes those that cannot be planned. */
export function usePlannedExecution(): Plugin {
  const executePlanned = createExecutePlanned();
  return {
    onExecute({ executeFn, setExecuteFn }) {
      setExecuteFn(args => executePlanned(args) ?? executeFn(args));
    },
  };
}

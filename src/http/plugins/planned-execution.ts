import type { Plugin } from 'graphql-yoga';
import type { ExecutePlanned } from '../../graphql/execution/execute.ts';

/** Executes operations with cached plans. Yoga's executor executes those that cannot be planned. */
export function usePlannedExecution(executePlanned: ExecutePlanned): Plugin {
  return {
    onExecute({ executeFn, setExecuteFn }) {
      setExecuteFn(args => executePlanned(args) ?? executeFn(args));
    },
  };
}

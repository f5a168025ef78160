import type { Plugin } from 'graphql-yoga';
import { createExecutePlanned } from '../../graphql/execution/execute.ts';

/** Executes operations by plans that are kept, where Yoga's executor begins anew each time; it executes the rest. */
export function usePlannedExecution(): Plugin {
  const executePlanned = createExecutePlanned();
  return {
    onExecute({ executeFn, setExecuteFn }) {
      setExecuteFn(args => executePlanned(args) ?? executeFn(args));
    },
  };
}

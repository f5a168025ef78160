import type { Plugin } from 'graphql-yoga';
import { addressIn } from '../access/address.ts';
import type { Admission, OperationGate } from '../access/operation-gate.ts';

/** Lets operations over HTTP through the gate that those of other transports pass too. */
export function useAdmission(gate: OperationGate): Plugin<{ admission?: Admission }> {
  return {
    async onParams({ request, params, setParams, context }) {
      const header = (name: string) => request.headers.get(name);
      const admitted = await gate.admit(params, header, addressIn(context));
      Object.assign(context, { admission: admitted.admission });
      // `documentId` has served its purpose, and Yoga refuses members it does not know.
      const { documentId: _, ...known } = admitted.params;
      setParams(known);
    },
  };
}

import type { Plugin } from 'graphql-yoga';
import type { IncomingMessage } from 'node:http';
import type { ClientAddress } from '../access/client-address.ts';
import type { Admission, OperationGate } from '../access/operation-gate.ts';

/** Lets operations over HTTP through the gate that those of other transports pass too. */
export function useAdmission(
  gate: OperationGate,
  clientAddress: ClientAddress,
): Plugin<{ admission?: Admission }> {
  return {
    async onParams({ request, params, setParams, context }) {
      const header = (name: string) => request.headers.get(name);
      const { req } = context as { req?: IncomingMessage };
      const address = req === undefined ? '' : clientAddress.addressOf(req);
      const admitted = await gate.admit(params, header, address);
      Object.assign(context, { admission: admitted.admission });
      // `documentId` has served its purpose, and Yoga refuses members it does not know.
      const { documentId: _, ...known } = admitted.params;
      setParams(known);
    },
  };
}

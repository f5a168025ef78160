import type { Plugin } from 'graphql-yoga';
import type { IncomingMessage } from 'node:http';
import type { ClientAddress } from '../access/client-address.ts';
import type { Admission, OperationGate } from '../access/operation-gate.ts';

/** Passes HTTP operations through the operation gate, as the other transports do. */
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
      // Yoga refuses members that it does not know, such as `documentId`, which is resolved by now.
      const { documentId: _, ...known } = admitted.params;
      setParams(known);
    },
  };
}

import type { IncomingMessage } from 'node:http';
import type { Plugin } from 'graphql-yoga';
import type { ClientAddress } from '../access/client-address.ts';
import type { Admission, OperationGate } from '../access/operation-gate.ts';

/** Lets operations over HTTP through the gate that those of other transports pass too. */
export function useAdmission(
  gate: OperationGate,
  clientAddress: ClientAddress,
): Plugin<{ admission?: Admission }> {
  const identified = new WeakMap<Request, Admission>();
  return {
    // A body of a caller without a credential is not read.
    async onRequestParse({ request, serverContext }) {
      const { req } = serverContext as unknown as { req?: IncomingMessage };
      const address = req === undefined ? '' : clientAddress.addressOf(req);
      const header = (name: string) => request.headers.get(name);
      identified.set(request, await gate.identify(header, address));
    },
    onParams({ request, params, setParams, context }) {
      const admission = identified.get(request);
      if (admission === undefined) throw new Error('The request has not been identified.');
      const admitted = gate.admit(params, admission);
      Object.assign(context, { admission });
      // `documentId` has served its purpose, and Yoga refuses members it does not know.
      const { documentId: _, ...known } = admitted.params;
      setParams(known);
    },
  };
}

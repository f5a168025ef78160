import type { IncomingMessage } from 'node:http';
import type { Plugin } from 'graphql-yoga';
import type { ClientAddress } from '../access/client-address.ts';
import type { Admission, OperationGate } from '../access/operation-gate.ts';

/** Passes HTTP operations through the operation gate, as the other transports do. */
export function useAdmission(
  gate: OperationGate,
  clientAddress: ClientAddress,
): Plugin<{ admission?: Admission }> {
  const identified = new WeakMap<Request, Admission>();
  return {
    // Before the body is read: reading it would be work for a caller without a credential.
    async onRequestParse({ request, serverContext }) {
      const { req } = serverContext as unknown as { req?: IncomingMessage };
      const address = req === undefined ? '' : clientAddress.addressOf(req);
      const header = (name: string) => request.headers.get(name);
      identified.set(request, await gate.identify(header, address));
    },
    onParams({ request, params, setParams, context }) {
      // A transport that does not parse requests through Yoga has identified the caller itself.
      const { admission = identified.get(request) } = context as { admission?: Admission };
      if (admission === undefined) throw new Error('The request has not been identified.');
      const admitted = gate.admit(params, admission);
      Object.assign(context, { admission });
      // Yoga refuses members that it does not know, such as `documentId`, which is resolved by now.
      const { documentId: _, ...known } = admitted.params;
      setParams(known);
    },
  };
}

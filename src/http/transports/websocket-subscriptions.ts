import { MessageType, validateMessage } from 'graphql-ws';
import type { MaskError } from '../access/mask-error.ts';
import type { OperationParams } from '../access/operation-params.ts';
import type { AdmittedOperation, OperationGate } from '../access/operation-gate.ts';
import type { OperationRecords } from '../observation/operation-records.ts';
import { requestIdOf } from '../observation/request-id.ts';
import type { KnownSubscriptions } from '../operations/known-subscriptions.ts';
import type { DirectResults } from '../plugins/direct-results.ts';
import type { SocketConnection, SocketParts } from './websocket-connection.ts';
import type { ReadHeader } from './websocket-headers.ts';
import { StartedResults } from './websocket-results.ts';

export interface SocketSubscriptionsParts {
  knownSubscriptions: KnownSubscriptions;
  gate: OperationGate;
  records: OperationRecords;
  maskError: MaskError;
  /** The maximum number of concurrent operations of one socket. */
  maxSubscriptionsPerConnection: number;
}

/** Those of a socket, by their ids. Null: there is no result yet. */
type Operations = Record<string, unknown>;

interface Subscribe {
  id: string;
  type: 'subscribe';
  payload: OperationParams & { query: string };
}

const MAY_SUBSCRIBE = /"subscribe".*\bsubscription\b|\bsubscription\b.*"subscribe"/s;

/**
 * Starts known subscriptions without graphql-ws, which would keep its message, its functions and several promises for
 * as long as each is open. Whatever is to be refused is left to graphql-ws.
 */
export function createSocketSubscriptions(parts: SocketSubscriptionsParts): SocketParts['start'] {
  const { knownSubscriptions, gate, records, maskError, maxSubscriptionsPerConnection } = parts;

  return (connection, text) => {
    const message = MAY_SUBSCRIBE.test(text) ? readMessage(text) : null;
    if (message === null || !connection.context?.acknowledged) return null;
    const subscriptions = operationsOf(connection);
    if (message.id in subscriptions || !knownSubscriptions.has(message.payload)) return null;
    if (Object.keys(subscriptions).length >= maxSubscriptionsPerConnection) return null;
    return start(connection, message);
  };

  async function start(connection: SocketConnection, { id, payload }: Subscribe): Promise<boolean> {
    const { header, address } = connection;
    // As graphql-ws does: the id is taken, and there is no result yet.
    operationsOf(connection)[id] = null;
    const operation = await admit(payload, header, address);
    // The client has stopped it meanwhile, or left.
    if (!(id in operationsOf(connection))) return true;
    if (operation === null) {
      delete operationsOf(connection)[id];
      return false;
    }
    const record = records.begin({
      transport: 'websocket',
      requestId: requestIdOf(header),
      traceparent: header('traceparent'),
    });
    const client = { record, header, leaving: connection };
    const result = await knownSubscriptions.start(operation, client);
    if (result === null) throw new Error('A known subscription is not known any more.');
    if ('take' in result) open(connection, id, result);
    else {
      record.end(result);
      if (id in operationsOf(connection)) connection.answer(id, result);
    }
    return true;
  }

  /** Null if graphql-ws is to refuse it. */
  async function admit(
    payload: OperationParams,
    header: ReadHeader,
    address: string,
  ): Promise<AdmittedOperation | null> {
    try {
      const operation = gate.admit(payload, await gate.identify(header, address));
      const isKnown =
        'credential' in operation.admission && knownSubscriptions.has(operation.params);
      return isKnown ? operation : null;
    } catch {
      return null;
    }
  }

  function open(connection: SocketConnection, id: string, direct: DirectResults): void {
    const subscriptions = operationsOf(connection);
    // The client has left or stopped it meanwhile, and perhaps started another with this id.
    if (subscriptions[id] !== null) {
      void direct.return?.();
      return;
    }
    const results = new StartedResults(id, direct, connection, maskError);
    subscriptions[id] = results;
    results.start();
  }
}

/** Ask each time: graphql-ws replaces them when the socket closes. */
function operationsOf({ context }: SocketConnection): Operations {
  return (context?.subscriptions ?? {}) as Operations;
}

function readMessage(text: string): Subscribe | null {
  try {
    const message = validateMessage(JSON.parse(text));
    return message.type === MessageType.Subscribe ? (message as Subscribe) : null;
  } catch {
    // graphql-ws reports what is wrong with it.
    return null;
  }
}

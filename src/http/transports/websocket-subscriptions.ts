import { MessageType, validateMessage } from 'graphql-ws';
import type { MaskError } from '../access/mask-error.ts';
import type { OperationParams } from '../access/operation-params.ts';
import type { AdmittedOperation, OperationGate } from '../access/operation-gate.ts';
import type { OperationRecords } from '../observation/operation-records.ts';
import type { KnownSubscriptions } from '../operations/known-subscriptions.ts';
import type { DirectResults } from '../plugins/direct-results.ts';
import type { SocketConnection, SocketParts } from './websocket-connection.ts';
import { type ReadHeader, startOf } from './websocket-headers.ts';
import { StartingOperation } from './websocket-operations.ts';
import { StartedResults } from './websocket-results.ts';

export interface SocketSubscriptionsParts {
  knownSubscriptions: KnownSubscriptions;
  gate: OperationGate;
  records: OperationRecords;
  maskError: MaskError;
  /** The maximum number of concurrent operations of one socket. */
  maxSubscriptionsPerConnection: number;
}

interface Subscribe {
  id: string;
  type: 'subscribe';
  payload: OperationParams & { query: string };
}

/**
 * Starts known subscriptions without graphql-ws, which would keep its message, its functions and
 * several promises for as long as each is open. Whatever is to be refused is left to graphql-ws.
 */
export function createSocketSubscriptions(parts: SocketSubscriptionsParts): SocketParts['start'] {
  const { knownSubscriptions, gate, records, maskError, maxSubscriptionsPerConnection } = parts;

  return (connection, text) => {
    const message = mayStart(text) ? readMessage(text) : null;
    if (message === null || !connection.context?.acknowledged) return null;
    const { subscriptions } = connection.context;
    if (message.id in subscriptions || !knownSubscriptions.has(message.payload)) return null;
    if (Object.keys(subscriptions).length >= maxSubscriptionsPerConnection) return null;
    return start(connection, message, connection.context);
  };

  async function start(
    connection: SocketConnection,
    { id, payload }: Subscribe,
    context: { readonly subscriptions: Record<string, unknown> },
  ): Promise<boolean> {
    const { header, address } = connection;
    const starting = new StartingOperation(id);
    context.subscriptions[id] = starting;
    // The client may stop it and start another with this id. Once the socket is closed,
    // `subscriptions` is another object.
    const isWanted = () => context.subscriptions[id] === starting;
    const operation = await admit(payload, header, address);
    if (!isWanted()) return true;
    if (operation === null) {
      delete context.subscriptions[id];
      return false;
    }
    const record = records.begin(startOf(header));
    const client = { record, header, leaving: connection };
    const result = await knownSubscriptions.start(operation, client);
    if (result === null) throw new Error('A known subscription is not known any more.');
    if ('take' in result) {
      if (isWanted()) open(connection, id, result, context.subscriptions);
      else void result.return?.();
    } else {
      record.end(result);
      if (isWanted()) connection.answer(starting, result);
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

  function open(
    connection: SocketConnection,
    id: string,
    direct: DirectResults,
    subscriptions: Record<string, unknown>,
  ): void {
    const results = new StartedResults(id, direct, connection, maskError);
    subscriptions[id] = results;
    results.start();
    connection.started();
  }
}

/**
 * Whether a message may start a subscription. No expression, whose time could grow with the square
 * of the length.
 */
function mayStart(text: string): boolean {
  return text.includes('"subscribe"') && text.includes('subscription');
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

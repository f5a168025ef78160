import { type Log, isProgramLog } from '../../log.ts';
import type { OperationIdentity } from '../../usage.ts';
import type { TransportName } from './transport-name.ts';

/** What the log tells of an operation that ended. */
export interface OperationLine {
  identity: OperationIdentity;
  transport: TransportName;
  /** Of its errors. */
  codes: readonly string[];
  durationMs: number;
  upstreamRequests: number;
  budgetWaitMs: number;
  requestId: string;
  /** Results of a stream; null where there was none. */
  events: number | null;
}

export type Message = 'operation' | 'subscription ended';

export type LogOperation = (line: OperationLine, message: Message) => void;

/**
 * The program's own log gets JSON that is made here: there is a line for every operation, and the
 * library takes more than three times as long over an object of so many fields.
 */
export function createOperationLog(log: Pick<Log, 'info'>): LogOperation {
  return isProgramLog(log)
    ? (line, message) => log.infoJson(toJson(line, message))
    : ({ identity: { name, hash, type }, events, ...fields }, message) =>
        log.info({ name, hash, type, ...fields, ...(events !== null && { events }) }, message);
}

const identities = new WeakMap<OperationIdentity, string>();

function toJson(line: OperationLine, message: Message): string {
  const { identity, transport, codes, durationMs, upstreamRequests, budgetWaitMs } = line;
  const { requestId, events } = line;
  let which = identities.get(identity);
  if (which === undefined) {
    const { name, hash, type } = identity;
    identities.set(identity, (which = JSON.stringify({ name, hash, type }).slice(1, -1)));
  }
  const errors = codes.length === 0 ? '[]' : JSON.stringify(codes);
  const results = events === null ? '' : `,"events":${events}`;
  return `${which},"transport":"${transport}","codes":${errors},"durationMs":${durationMs},"upstreamRequests":${upstreamRequests},"budgetWaitMs":${budgetWaitMs},"requestId":${quote(requestId)}${results},"msg":"${message}"`;
}

// Characters that JSON does not escape, and that request ids are made of.
const PLAIN = /^[\w.:+/=@-]*$/;

function quote(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
}

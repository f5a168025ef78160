import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ErrorCode } from '../../errors.ts';
import type { OperationRecords } from './operation-records.ts';
import { REQUEST_ID_HEADER } from './request-id.ts';
import type { TransportName } from './transport-name.ts';

/**
 * Records a request for an operation that is refused before the operation is read. Other requests
 * are not recorded.
 */
export type RecordRefusal = (
  request: IncomingMessage,
  response: ServerResponse,
  code: ErrorCode,
) => void;

/** `transports`: those of operations, by path. */
export function createRecordRefusal(
  records: OperationRecords,
  transports: Readonly<Record<string, TransportName>>,
): RecordRefusal {
  return ({ url = '', headers }, response, code) => {
    const transport = transports[url.split('?', 1)[0] ?? ''];
    if (transport === undefined) return;
    const requestId = String(response.getHeader(REQUEST_ID_HEADER));
    const traceparent = headers['traceparent']?.toString() ?? null;
    records.refuse({ transport, requestId, traceparent }, code);
  };
}

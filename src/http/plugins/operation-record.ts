import type { ServerResponse } from 'node:http';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import type { OperationRecord, OperationRecords } from '../observation/operation-records.ts';
import { REQUEST_ID_HEADER, requestIdOf } from '../observation/request-id.ts';
import type { TransportName } from '../observation/transport-name.ts';

interface RecordContext {
  record?: OperationRecord;
  params?: { operationName?: string | null };
  res?: ServerResponse;
}

/**
 * Keeps a record of each operation over HTTP, and notes what was parsed over any transport. What
 * becomes of a stream is noted by `useOperationLimit`, which counts streams too.
 */
export function useOperationRecords(
  records: OperationRecords,
  streamTransportOf: (request: Request) => TransportName,
): Plugin<RecordContext> {
  return {
    onRequestParse({ request, serverContext }) {
      const context = serverContext as RecordContext;
      const header = (name: string) => request.headers.get(name);
      const echoed = context.res?.getHeader(REQUEST_ID_HEADER);
      // A transport may have begun it before Yoga got the request.
      context.record ??= records.begin({
        transport: 'http',
        streamTransport: () => streamTransportOf(request),
        requestId: typeof echoed === 'string' ? echoed : requestIdOf(header),
        traceparent: header('traceparent'),
      });
    },
    onParse: ({ context }) => {
      const { record, params } = context as RecordContext;
      return ({ result }) => {
        if (!(result instanceof Error) && result !== null && result !== undefined)
          record?.parsed(result, params?.operationName);
      };
    },
    onResultProcess({ request, result, serverContext }) {
      if (isAsyncIterable(result) || Array.isArray(result)) return;
      const { record } = serverContext as RecordContext;
      if (request.signal.aborted) record?.leave();
      else record?.end(result);
    },
  };
}

import type { TransportName } from '../observation/operation-records.ts';

/** What a caller takes: `type/subtype`, and its parameters as `name=value`, all in lower case and unquoted. */
export interface MediaRange {
  type: string;
  parameters: readonly string[];
}

/** The media ranges of an Accept header, in its order. */
export function mediaRangesOf({ headers }: Request): MediaRange[] {
  const accept = headers.get('accept') ?? '';
  const ranges = accept.toLowerCase().replaceAll(/[\s"]/g, '').split(',');
  return ranges.map(range => {
    const [type = '', ...parameters] = range.split(';');
    return { type, parameters };
  });
}

/** Which transport sends the results of a subscription to this caller. */
export function streamTransportOf(request: Request): TransportName {
  const ranges = mediaRangesOf(request);
  if (ranges.some(({ parameters }) => parameters.includes('callbackspec=1.0'))) return 'callback';
  return ranges.some(({ type }) => type === 'text/event-stream') ? 'sse' : 'multipart';
}

/** What a body is, by its Content-Type; empty where that is not said. */
export function mediaTypeOf({ headers }: Request): string {
  return (headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

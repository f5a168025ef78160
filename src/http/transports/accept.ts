import type { TransportName } from '../observation/transport-name.ts';

/**
 * A media range that a client accepts: `type/subtype`, and parameters as `name=value`, in lower
 * case and unquoted.
 */
export interface MediaRange {
  type: string;
  parameters: readonly string[];
}

/** The parameter of a media range that asks for results over Apollo's HTTP callback protocol. */
export const CALLBACK_SPEC = 'callbackspec=1.0';

/** The media ranges of the Accept header, in their order. */
export function mediaRangesOf({ headers }: Request): MediaRange[] {
  return mediaRangesIn(headers.get('accept') ?? '');
}

/** The media ranges of the value of an Accept header, in their order. */
export function mediaRangesIn(accept = ''): MediaRange[] {
  const ranges = accept.toLowerCase().replaceAll(/[\s"]/g, '').split(',');
  return ranges
    .map(range => {
      const [type = '', ...parameters] = range.split(';');
      return { type, parameters };
    })
    .filter(({ parameters }) => !parameters.some(isExclusion));
}

/** A weight of 0 says that the range is not acceptable. */
function isExclusion(parameter: string): boolean {
  return /^q=0(\.0*)?$/.test(parameter);
}

/** The transport that sends the results of a subscription to this client. */
export function streamTransportOf(request: Request): TransportName {
  const ranges = mediaRangesOf(request);
  if (ranges.some(({ parameters }) => parameters.includes(CALLBACK_SPEC))) return 'callback';
  return ranges.some(({ type }) => type === 'text/event-stream') ? 'sse' : 'multipart';
}

/** The media type of the Content-Type header, in lower case; empty if there is none. */
export function mediaTypeOf({ headers }: Request): string {
  return (headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

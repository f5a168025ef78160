/** What a caller takes: `type/subtype`, and its parameters as `name=value`, all in lower case and unquoted. */
export interface MediaRange {
  type: string;
  parameters: readonly string[];
}

/** The media ranges of an Accept header, in its order. */
export function mediaRangesOf({ headers }: Request): MediaRange[] {
  const accept = headers.get('accept') ?? '';
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

/** What a body is, by its Content-Type; empty where that is not said. */
export function mediaTypeOf({ headers }: Request): string {
  return (headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

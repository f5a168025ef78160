import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ExecutionResult } from 'graphql';
import { processRegularResult } from 'graphql-yoga';
import type { KeptResponse } from '../../session/memory-entry.ts';
import { type ContentCoding, compress, encodeBody } from '../access/content-coding.ts';

/** A type of single results. */
export type MediaType = 'application/json' | 'application/graphql-response+json';

/**
 * The type that Yoga answers a single result with: that of the first range that takes one. Null
 * where the client may want a stream, or names parameters.
 */
export function mediaTypeFor(accept = '*/*'): MediaType | null {
  const ranges = accept.toLowerCase().replaceAll(/\s/g, '').split(',');
  if (!ranges.every(range => RANGE.test(range))) return null;
  return ranges[0]?.startsWith('application/graphql-response+json')
    ? 'application/graphql-response+json'
    : 'application/json';
}

// A weight of 0 says that the range is not acceptable.
const RANGE = /^(\*\/\*|application\/(\*|json|graphql-response\+json))(;q=(?!0(\.0*)?$)[\d.]+)?$/;

/** Receives what Yoga would make a Response of. */
class Answer {
  readonly body: string;
  readonly init: { status: number; headers: Record<string, string> };

  constructor(body: string, init: { status: number; headers: Record<string, string> }) {
    this.body = body;
    this.init = init;
  }
}

const FETCH_API = { Response: Answer } as unknown as Parameters<typeof processRegularResult>[1];

/** Sends a result as Yoga does. */
export async function sendResult(
  { headers: { 'accept-encoding': accepted = '' } }: IncomingMessage,
  response: ServerResponse,
  result: ExecutionResult,
  mediaType: MediaType,
): Promise<void> {
  const answer = processRegularResult(result, FETCH_API, mediaType) as unknown as Answer;
  const { status, headers } = answer.init;
  const encoded = await encodeBody(answer.body, accepted);
  response.writeHead(status, { ...headers, ...encoded.headers }).end(encoded.body);
}

/** Sends a response without errors. */
export async function sendKept(
  { headers: { 'accept-encoding': accepted = '' } }: IncomingMessage,
  response: ServerResponse,
  kept: KeptResponse,
  mediaType: MediaType,
): Promise<void> {
  const { body, headers } = await encodeBody(kept.json, accepted, (plain, coding) =>
    compressOnce(kept, plain, coding),
  );
  response.writeHead(200, { 'Content-Type': `${mediaType}; charset=utf-8`, ...headers }).end(body);
}

/** Compresses a response; once, for all who want the coding that was wanted first. */
function compressOnce(kept: KeptResponse, plain: Buffer, coding: ContentCoding): Promise<Buffer> {
  kept.compressed ??= { coding, body: compress(plain, coding).then(copyOf) };
  return kept.compressed.coding === coding ? kept.compressed.body : compress(plain, coding);
}

/** A copy, because zlib returns a part of a larger buffer. */
function copyOf(body: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(body.length);
  body.copy(copy);
  return copy;
}

import type { ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import type { Plugin } from 'graphql-yoga';
import { type OperationParams, readOperationParams } from '../access/operation-params.ts';
import { refusal, toRefusal } from '../access/refusal.ts';
import type { RequestShare, RequestSpace } from '../access/request-space.ts';
import { mediaRangesOf, mediaTypeOf } from './accept.ts';
import type { TransportContext } from './transport-context.ts';

type Decode = (data: Uint8Array, options: { maxOutputLength: number }) => Promise<Buffer>;

const DECODERS: Readonly<Record<string, Decode>> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
};
const UTF_8 = new TextDecoder('utf-8', { fatal: true });
const ACCEPTED =
  /^(|\*\/\*|application\/(\*|json|graphql-response\+json)|text\/(\*|event-stream)|multipart\/(\*|mixed))$/;

/**
 * Reads an operation from the body of a request, which takes `share`. Throws a refusal if it is not
 * an operation.
 */
export type ReadBody = (request: Request, share: RequestShare) => Promise<OperationParams>;

/** Replaces Yoga's parsers: adds a code to refusals, and limits the size of bodies, decoded too. */
export function useHttpRequests(readBody: ReadBody, space: RequestSpace): Plugin {
  return {
    onRequestParse({ request, url, serverContext, setRequestParser }) {
      if (request.method !== 'GET' && request.method !== 'POST')
        throw refusal('BAD_USER_INPUT', 'GraphQL accepts only GET and POST requests.', {
          status: 405,
          headers: { allow: 'GET, POST' },
        });
      if (!mediaRangesOf(request).some(({ type }) => ACCEPTED.test(type))) throw notAcceptable();
      const context = serverContext as unknown as TransportContext & { res: ServerResponse };
      const { res, parsed } = context;
      const read = async () => {
        if (request.method === 'GET') return readSearchParams(url.searchParams);
        if (parsed) return parsed;
        const share = space.open();
        context.share = share;
        res.once('close', () => share.close());
        return readBody(request, share);
      };
      // Yoga's types allow only its own members.
      setRequestParser(read as Parameters<typeof setRequestParser>[0]);
    },
  };
}

/**
 * The last plugin: refuses with 406 if no other plugin can send the result in a format that the
 * client accepts.
 */
export function useNotAcceptable(): Plugin {
  return {
    async onResultProcess({ result, resultProcessor, setResultProcessor }) {
      if (resultProcessor) return;
      // The result is a stream, which the client does not accept: close it.
      if (Symbol.asyncIterator in result) await result[Symbol.asyncIterator]().return?.();
      const { message, extensions } = notAcceptable();
      setResultProcessor(
        (_result, { Response }) =>
          Response.json({ errors: [{ message, extensions }] }, { status: 406 }),
        'application/json',
      );
    },
  };
}

/** `maxBytes` limits the body both as sent and decoded. */
export function createReadBody(maxBytes: number): ReadBody {
  return async (request, share) => {
    // Accept no other type: a page of another origin can send some types without a preflight.
    if (mediaTypeOf(request) !== 'application/json' || !isUtf8(request))
      throw refusal('BAD_USER_INPUT', 'The Content-Type must be application/json, in UTF-8.', {
        status: 415,
        headers: { accept: 'application/json' },
      });
    return parseOperation(toText(await decode(request, share)));
  };

  async function decode(request: Request, share: RequestShare): Promise<Uint8Array> {
    const encoding = request.headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity';
    const decoder = DECODERS[encoding];
    if (!decoder && encoding !== 'identity' && encoding !== '')
      throw refusal(
        'BAD_USER_INPUT',
        'The Content-Encoding must be gzip, deflate, br or identity.',
        {
          status: 415,
          headers: { 'accept-encoding': 'gzip, deflate, br' },
        },
      );
    const body = await readBytes(request, share);
    if (!decoder) return body;
    let decoded: Buffer;
    try {
      decoded = await decoder(body, { maxOutputLength: maxBytes });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
        throw tooLarge(maxBytes);
      throw refusal('BAD_USER_INPUT', `The body is not ${encoding}.`);
    }
    const noSpace = refusalOfSpace(share, decoded.length);
    if (noSpace !== null) throw noSpace;
    return decoded;
  }

  async function readBytes(request: Request, share: RequestShare): Promise<Uint8Array> {
    if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes);
    const reader = request.body?.getReader();
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for (let chunk = await readChunk(reader); chunk; chunk = await readChunk(reader)) {
      bytes += chunk.length;
      const refused = bytes > maxBytes ? tooLarge(maxBytes) : refusalOfSpace(share, chunk.length);
      if (refused !== null) {
        void discardRest(reader);
        throw refused;
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }
}

type BodyReader = ReadableStreamDefaultReader<Uint8Array>;

/** The next part of the body; null at its end. */
async function readChunk(reader: BodyReader | undefined): Promise<Uint8Array | null> {
  try {
    return (await reader?.read())?.value ?? null;
  } catch {
    // The client disconnected.
    throw endedEarly();
  }
}

/**
 * Reads and drops the rest of a refused body. If the connection were reset, the client would not
 * get the refusal. The time limit of the request ends this.
 */
async function discardRest(reader: BodyReader | undefined): Promise<void> {
  try {
    while (await readChunk(reader));
  } catch {
    // The client disconnected.
  }
}

/** The operation that a body holds. Throws a refusal if the body is not an operation. */
export function parseOperation(body: string): OperationParams {
  return readOperationParams(toJson(body));
}

/** The text of a body. Throws a refusal if the body is not in UTF-8. */
export function toText(body: Uint8Array): string {
  try {
    return UTF_8.decode(body);
  } catch {
    throw notJson();
  }
}

/** The refusal of a body whose client disconnected while it was read. */
export function endedEarly() {
  return refusal('BAD_USER_INPUT', 'The body ended early.');
}

/** The refusal of a body of more than `maxBytes`. */
export function tooLarge(maxBytes: number) {
  return refusal(
    'BAD_USER_INPUT',
    `The body is larger than the ${maxBytes} bytes that MAX_BODY_BYTES allows.`,
    { status: 413 },
  );
}

/** Takes so many bytes. The refusal if there is no space for them, otherwise null. */
export function refusalOfSpace(share: RequestShare, bytes: number): Error | null {
  try {
    share.take(bytes);
    return null;
  } catch (error) {
    return toRefusal(error, { status: 503 }) as Error;
  }
}

function notAcceptable() {
  return refusal(
    'BAD_USER_INPUT',
    'The Accept header allows no media type in which this operation can be answered.',
    { status: 406 },
  );
}

function isUtf8(request: Request): boolean {
  const [, charset] = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(
    request.headers.get('content-type') ?? '',
  ) ?? [null, 'utf-8'];
  return /^utf-?8$/i.test(charset ?? '');
}

function toJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw notJson();
  }
}

function notJson() {
  return refusal('BAD_USER_INPUT', 'The body is not JSON.');
}

function readSearchParams(search: URLSearchParams): OperationParams {
  const members = ['query', 'operationName', 'documentId', 'variables', 'extensions'];
  const given = members.flatMap(name => {
    const text = search.get(name);
    if (text === null || text === '') return [];
    return [[name, name === 'variables' || name === 'extensions' ? parseMember(name, text) : text]];
  });
  return readOperationParams(Object.fromEntries(given));
}

function parseMember(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw refusal('BAD_USER_INPUT', `\`${name}\` is not JSON.`);
  }
}

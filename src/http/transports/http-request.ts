import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import type { Plugin } from 'graphql-yoga';
import { type OperationParams, readOperationParams } from '../access/operation-params.ts';
import { refusal } from '../access/refusal.ts';
import { mediaRangesOf, mediaTypeOf } from './accept.ts';

type Decode = (data: Uint8Array, options: { maxOutputLength: number }) => Promise<Buffer>;

const DECODERS: Readonly<Record<string, Decode>> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
};
const ACCEPTED =
  /^(|\*\/\*|application\/(\*|json|graphql-response\+json)|text\/(\*|event-stream)|multipart\/(\*|mixed))$/;

/** Reads an operation from the body of a request. Throws a refusal if the body is not an operation. */
export type ReadBody = (request: Request) => Promise<OperationParams>;

/** Replaces Yoga's parsers: adds a code to refusals, and limits the size of bodies, decoded too. */
export function useHttpRequests(readBody: ReadBody): Plugin {
  return {
    onRequestParse({ request, url, setRequestParser }) {
      if (request.method !== 'GET' && request.method !== 'POST')
        throw refusal('BAD_USER_INPUT', 'GraphQL accepts only GET and POST requests.', {
          status: 405,
          headers: { allow: 'GET, POST' },
        });
      if (!mediaRangesOf(request).some(({ type }) => ACCEPTED.test(type))) throw notAcceptable();
      const read = request.method === 'GET' ? () => readSearchParams(url.searchParams) : readBody;
      // Yoga's types allow only its own members.
      setRequestParser(read as Parameters<typeof setRequestParser>[0]);
    },
  };
}

/**
 * The last plugin: refuses with 406 if no other plugin can send the result in a format that the client
 * accepts.
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
  return async request => {
    // Accept no other type: a page of another origin can send some types without a preflight.
    if (mediaTypeOf(request) !== 'application/json' || !isUtf8(request))
      throw refusal('BAD_USER_INPUT', 'The Content-Type must be application/json, in UTF-8.', {
        status: 415,
        headers: { accept: 'application/json' },
      });
    return readOperationParams(toJson(await decode(request)));
  };

  async function decode(request: Request): Promise<Uint8Array> {
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
    const body = await readBytes(request);
    try {
      return decoder ? await decoder(body, { maxOutputLength: maxBytes }) : body;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge();
      throw refusal('BAD_USER_INPUT', `The body is not ${encoding}.`);
    }
  }

  async function readBytes(request: Request): Promise<Uint8Array> {
    if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge();
    if (request.body === null) return Buffer.alloc(0);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    // Not a loop over the body: leaving it would close the connection before the refusal is sent.
    const parts = (request.body as unknown as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
    for (;;) {
      const { done, value } = await parts.next().catch(() => {
        // The client disconnected.
        throw refusal('BAD_USER_INPUT', 'The body ended early.');
      });
      if (done) break;
      bytes += value.length;
      if (bytes > maxBytes) throw tooLarge();
      chunks.push(value);
    }
    return Buffer.concat(chunks);
  }

  function tooLarge() {
    return refusal(
      'BAD_USER_INPUT',
      `The body is larger than the ${maxBytes} bytes that MAX_BODY_BYTES allows.`,
      { status: 413, headers: { connection: 'close' } },
    );
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

function toJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw refusal('BAD_USER_INPUT', 'The body is not JSON.');
  }
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

import type { IncomingMessage } from 'node:http';
import { Refusal } from './refusal.ts';

const MAX_BODY_BYTES = 1_048_576;

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES)
      throw new Refusal(413, '413 Payload too large', 'The request is too large.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Reads the fields of a token request from the query, a urlencoded body or form data. */
export async function readForm(request: IncomingMessage, url: URL): Promise<Map<string, string>> {
  const fields = new Map(url.searchParams);
  const contentType = request.headers['content-type'];
  const body = await readBody(request);
  if (contentType === undefined || body.length === 0) return fields;
  const form = await new Response(new Uint8Array(body), {
    headers: { 'content-type': contentType },
  })
    .formData()
    .catch(() => null);
  form?.forEach((value, name) => typeof value === 'string' && fields.set(name, value));
  return fields;
}

/** Reads the JSON Patch of a PATCH request. Throws a Refusal for another content type. */
export async function readPatch(request: IncomingMessage): Promise<unknown> {
  if (!request.headers['content-type']?.startsWith('application/json-patch+json'))
    throw new Refusal(
      415,
      '415 Unsupported Media Type',
      'A JSON Patch must be sent as application/json-patch+json.',
    );
  return readJson(request);
}

/** Reads a JSON body. Throws a Refusal with status 400 if it is not JSON. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const body = await readBody(request);
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new Refusal(400, '400.1 Bad request content', 'The request is not JSON.');
  }
}

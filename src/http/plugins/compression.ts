import type { Plugin } from 'graphql-yoga';
import { compress, contentCodingFor } from '../access/content-coding.ts';

// Smaller results fit into one packet anyway.
const LEAST_BYTES = 1_024;
const JSON_TYPE = /^application\/(graphql-response\+)?json\b/;

/** Compresses JSON results of at least 1 kB, if the client accepts it. Streams are never compressed. */
export function useCompression(): Plugin {
  return {
    async onResponse({ request, response, setResponse, fetchAPI: { Response } }) {
      if (!JSON_TYPE.test(response.headers.get('content-type') ?? '')) return;
      const coding = contentCodingFor(request.headers.get('accept-encoding') ?? '');
      if (coding === null) return;
      const body = Buffer.from(await response.arrayBuffer());
      const { status, statusText } = response;
      const headers = Object.fromEntries(response.headers);
      let sent: Buffer = body;
      if (body.length >= LEAST_BYTES) {
        sent = await compress(body, coding);
        headers['content-encoding'] = coding;
      }
      headers['content-length'] = String(sent.length);
      // The types of Node's own Response do not include its Buffer.
      setResponse(new Response(sent as unknown as string, { status, statusText, headers }));
    },
  };
}

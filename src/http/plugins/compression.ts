import type { Plugin } from 'graphql-yoga';
import { encodeBody } from '../access/content-coding.ts';

const JSON_TYPE = /^application\/(graphql-response\+)?json\b/;

/** Compresses large JSON results for clients that accept it. Streams are never compressed. */
export function useCompression(): Plugin {
  return {
    async onResponse({ request, response, setResponse, fetchAPI: { Response } }) {
      if (!JSON_TYPE.test(response.headers.get('content-type') ?? '')) return;
      const accepted = request.headers.get('accept-encoding');
      if (accepted === null) return;
      const { body, headers } = await encodeBody(
        Buffer.from(await response.arrayBuffer()),
        accepted,
      );
      const { status, statusText } = response;
      setResponse(
        // The types of Node's own Response do not include its Buffer.
        new Response(body as unknown as string, {
          status,
          statusText,
          headers: { ...Object.fromEntries(response.headers), ...headers },
        }),
      );
    },
  };
}

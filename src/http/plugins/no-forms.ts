import { GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';

/** Refuses forms: any page can make a browser send one here, without asking and with no preflight. */
export function useNoForms(): Plugin {
  return {
    onRequestParse({ request }) {
      if (!request.headers.get('content-type')?.startsWith('application/x-www-form-urlencoded'))
        return;
      throw new GraphQLError('An operation is sent as application/json.', {
        extensions: {
          code: 'BAD_USER_INPUT',
          http: { status: 415, headers: { accept: 'application/json' } },
        },
      });
    },
  };
}

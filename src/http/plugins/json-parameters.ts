import { GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';

/** Refuses `variables` and `extensions` of a GET that are not JSON; Yoga would take the SyntaxError for a bug. */
export function useJsonParameters(): Plugin {
  return {
    onRequestParse({ url }) {
      for (const name of ['variables', 'extensions']) {
        const text = url.searchParams.get(name);
        if (text === null || text === '' || isJson(text)) continue;
        throw new GraphQLError(`\`${name}\` is not JSON.`, {
          extensions: { code: 'BAD_USER_INPUT', http: { status: 400 } },
        });
      }
    },
  };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

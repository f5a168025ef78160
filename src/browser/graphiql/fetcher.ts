import type { Fetcher } from '@graphiql/toolkit';
import { OperationTypeNode, getOperationAST } from 'graphql';
import { createClient } from 'graphql-sse';

/** Sends operations to the endpoint, subscriptions over SSE, all with the headers of the editor. */
export function createFetcher(endpoint: string): Fetcher {
  return ({ query, operationName, variables }, { headers = {}, documentAST } = {}) => {
    const request = {
      query,
      variables: variables ?? {},
      ...(operationName && { operationName }),
    };
    const operation = documentAST && getOperationAST(documentAST, operationName);
    if (operation?.operation === OperationTypeNode.SUBSCRIPTION) {
      const client = createClient({ url: endpoint, headers, retryAttempts: 0 });
      return client.iterate(request);
    }
    return post(endpoint, request, headers);
  };
}

async function post(endpoint: string, request: object, headers: Record<string, string>) {
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json', ...headers },
    body: JSON.stringify(request),
  });
  return response.json();
}

import { createElement } from 'react';
import { createRoot } from 'react-dom/client';
import { GraphiQL } from 'graphiql';
import 'graphiql/graphiql.css';
import './graphiql-page.css';
import { EXAMPLES } from './examples.ts';
import { labelEditors } from './editor-labels.ts';
import { createFetcher } from './fetcher.ts';

const page = document.querySelector('#graphiql');
// The page is served at the GraphQL endpoint itself, under whichever path a proxy gives it.
const endpoint = new URL(location.pathname, location.href).href;
const parameters = new URLSearchParams(location.search);
const query = parameters.get('query');

if (page !== null) {
  labelEditors(page);
  createRoot(page).render(
    createElement(GraphiQL, {
      fetcher: createFetcher(endpoint),
      defaultTabs: EXAMPLES,
      // A link to an operation: `?query=…&variables=…`.
      ...(query === null ? {} : { query, variables: parameters.get('variables') ?? '' }),
      // The first visit to a tenant with AUTH_MODE=passthrough needs a token.
      defaultEditorToolsVisibility: 'variables',
      // Tokens stand in headers. They are kept in memory only.
      shouldPersistHeaders: false,
    }),
  );
}

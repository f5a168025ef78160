import { render } from 'preact';
import { Board } from './board.tsx';
import './board.css';
import { createGatewayClient } from './gateway-client.ts';

const page = document.querySelector('#board');
if (page !== null) {
  page.replaceChildren();
  // Relative, because a proxy may serve the gateway under a path.
  const client = createGatewayClient(new URL('graphql', document.baseURI).href);
  render(<Board client={client} />, page);
}

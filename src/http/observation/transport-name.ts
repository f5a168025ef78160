/** How an operation came, and how its results go. */
export type TransportName =
  | 'http'
  | 'sse'
  | 'single-connection'
  | 'multipart'
  | 'callback'
  | 'websocket';

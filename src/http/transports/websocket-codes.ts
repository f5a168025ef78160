// The codes that close a WebSocket.

export const INTERNAL_ERROR = 4500;
export const BAD_REQUEST = 4400;
/**
 * The close code of RFC 6455 for a server that shuts down. Clients of graphql-ws reconnect after
 * it.
 */
export const GOING_AWAY = 1001;
/**
 * The close code of RFC 6455 for a policy violation. Clients of graphql-ws do not reconnect after
 * it.
 */
export const POLICY_VIOLATION = 1008;
export const MESSAGE_TOO_BIG = 1009;
/** A registered close code, after which clients reconnect. */
export const TRY_AGAIN_LATER = 1013;

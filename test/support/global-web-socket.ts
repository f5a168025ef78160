import { WebSocket } from 'ws';

// Node 20 has no WebSocket of its own, and Apollo's link takes no other than the global one.
Object.assign(globalThis, { WebSocket: globalThis.WebSocket ?? WebSocket });

// Next.js: a route handler, at app/graphql/route.ts. Route handlers have no WebSockets;
// subscriptions use SSE.
import { createGateway, readConfig } from 'task-status-gateway';

export const runtime = 'nodejs';
export const dynamic = 'force-dynamic';

// One gateway for the process. In development, Next.js evaluates this module again after each
// change.
const shared = globalThis as { gateway?: ReturnType<typeof createGateway> };

async function handler(request: Request): Promise<Response> {
  shared.gateway ??= createGateway(readConfig(process.env));
  return (await shared.gateway).fetch(request);
}

export { handler as GET, handler as POST, handler as OPTIONS };

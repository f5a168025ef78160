// Fastify: the gateway beside an application's own routes, under the prefix /api.
import fastify from 'fastify';
import { createGateway, readConfig } from 'task-status-gateway';

const gateway = await createGateway({ ...readConfig(process.env), pathPrefix: '/api' });
// The gateway closes first, which ends its streams; then Fastify can close.
const app = fastify({ forceCloseConnections: true });
app.addHook('preClose', () => gateway.close());
app.get('/hello', () => 'Hello');
await app.register((scope, _options, done) => {
  // The gateway reads and limits the bodies itself.
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', (_request, _body, parsed) => parsed(null));
  for (const url of ['/api/graphql', '/api/graphql/stream'])
    scope.all(url, (request, reply) => {
      reply.hijack();
      gateway.handle(request.raw, reply.raw);
    });
  done();
});
app.server.on('upgrade', gateway.upgrade);
const origin = await app.listen({ port: Number(process.env['PORT'] ?? 3000), host: '127.0.0.1' });
console.log(`Listening at ${origin}`);
process.once('SIGTERM', () => void app.close());

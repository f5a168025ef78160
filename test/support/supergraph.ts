import type { TestContext } from 'node:test';
import { compose } from '../../examples/federation/compose.ts';
import { type RouterOptions, startRouter } from '../../examples/federation/router.ts';
import { startSources } from '../../examples/federation/sources.ts';
import { type StartOptions, startGateway } from './start.ts';

/** A gateway, a second subgraph that owns its sources, and a router over both. */
export async function startSupergraph(
  t: TestContext,
  { gateway: options = {}, ...router }: { gateway?: StartOptions } & Partial<RouterOptions> = {},
) {
  const tasks = await startGateway(t, options);
  const sources = await startSources(
    tasks.tenant.sources.map(({ id, name }) => ({ id, name: `owned ${name}`, owner: 'ada' })),
  );
  t.after(() => sources.close());
  const supergraphSdl = await compose(
    { tasks: tasks.url, sources: sources.url },
    router.headers ?? {},
  );
  const { url, close } = await startRouter({ supergraphSdl, ...router });
  t.after(close);
  return { tasks, sources, url };
}

import { compose } from './compose.ts';
import { startRouter } from './router.ts';
import { SANDBOX_SOURCES } from './sandbox-sources.ts';
import { startSources } from './sources.ts';

// A supergraph on this machine: the gateway that `npm start` runs, a subgraph of sources, and a
// router.
const TASKS = 'http://localhost:4000/graphql';

const sources = await startSources(SANDBOX_SOURCES, 4002);
const supergraphSdl = await compose({ tasks: TASKS, sources: sources.url });
const router = await startRouter({ supergraphSdl, port: 4100 });
process.stdout.write(`Sources at ${sources.url}\nThe supergraph at ${router.url}\n`);

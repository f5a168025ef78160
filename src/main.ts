#!/usr/bin/env node
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Config, ConfigError, readConfig } from './config.ts';
import { startGateway } from './gateway.ts';
import { FEDERATION_VERSIONS } from './graphql/federation-version.ts';
import { schema } from './graphql/schema.ts';
import { printSdl, printSubgraphSdl } from './graphql/sdl.ts';
import { startSandbox } from './sandbox/sandbox.ts';

const USAGE = `task-status-gateway [command]

  serve     run the gateway (default); without SAIL_BASE_URL it uses an embedded sandbox tenant
  sandbox   run only the sandbox tenant
  schema    print the GraphQL schema as SDL; with --subgraph, the SDL for federation, and with
            --federation 2.9 the costs of its fields too (default 2.5)

Environment variables configure it; docs/configuration.md lists them.
`;

await main();

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      subgraph: { type: 'boolean' },
      federation: { type: 'string', default: '2.5' },
    },
  });
  const federation = FEDERATION_VERSIONS.find(version => version === values.federation);
  const [command = 'serve'] = positionals;
  if (values.help) process.stdout.write(USAGE);
  else if (command === 'schema' && federation !== undefined)
    process.stdout.write(values.subgraph ? printSubgraphSdl(schema, federation) : printSdl(schema));
  else if (command === 'serve') await start(serve);
  else if (command === 'sandbox') await start(serveSandbox);
  else {
    process.stderr.write(USAGE);
    process.exitCode = 2;
  }
}

type Start = (config: Config) => Promise<{ close(): Promise<void> }>;

/**
 * Starts a server and closes it on SIGINT or SIGTERM. A faulty configuration is printed one fault per
 * line.
 */
async function start(begin: Start): Promise<void> {
  try {
    const config = readConfig(process.env);
    const started = begin(config);
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => void stop(started, config.shutdown));
    await started;
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`);
    process.exitCode = 1;
  }
}

/** Exits when everything is closed, or at the timeout. */
async function stop(
  started: ReturnType<Start>,
  { delayMs, graceMs }: Config['shutdown'],
): Promise<void> {
  const closed = started.then(({ close }) => close());
  await Promise.race([closed, wait(delayMs + graceMs)]);
  process.exit(0);
}

async function serve(config: Config): Promise<{ close(): Promise<void> }> {
  if (config.baseUrl !== null) {
    const gateway = await startGateway({ ...config, baseUrl: config.baseUrl });
    process.stdout.write(`GraphQL at ${gateway.url}, over ${config.baseUrl.origin}\n`);
    return gateway;
  }
  const sandbox = await startSandbox(config.sandbox);
  const gateway = await startGateway({
    ...config,
    baseUrl: new URL(sandbox.url),
    client: sandbox.client,
  }).catch(async (error: unknown) => {
    await sandbox.close();
    throw error;
  });
  process.stdout.write(`GraphQL at ${gateway.url}, over the sandbox tenant at ${sandbox.url}\n`);
  return {
    async close() {
      await gateway.close();
      await sandbox.close();
    },
  };
}

async function serveSandbox({
  sandbox: options,
  host,
}: Config): Promise<{ close(): Promise<void> }> {
  const sandbox = await startSandbox({ ...options, host });
  const { id, secret } = sandbox.client;
  process.stdout.write(
    `Sandbox tenant at ${sandbox.url}\nSAIL_CLIENT_ID=${id}\nSAIL_CLIENT_SECRET=${secret}\n`,
  );
  return sandbox;
}

function explain(error: unknown): string {
  if (error instanceof ConfigError) return error.faults.join('\n');
  const { code, port } = error as { code?: string; port?: number };
  if (code === 'EADDRINUSE')
    return `PORT: ${port} is in use by another program; set PORT or SANDBOX_PORT to a free port`;
  if (!(error instanceof Error)) return String(error);
  // A configuration fault names its variable, so the stack would not help.
  return /^[A-Z_]+: /.test(error.message) ? error.message : (error.stack ?? error.message);
}

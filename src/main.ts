#!/usr/bin/env node
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { checkTenant } from './check.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import { FEDERATION_VERSIONS, type FederationVersion } from './graphql/federation-version.ts';
import { readVersion, startGateway } from './gateway.ts';
import { schema } from './graphql/schema.ts';
import { printSdl, printSubgraphSdl } from './graphql/sdl.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { logProcess } from './process-log.ts';
import { type Sandbox, startSandbox } from './sandbox/sandbox.ts';

const USAGE = `task-status-gateway [command]

  serve     run the gateway (default); without SAIL_BASE_URL it uses an embedded sandbox tenant
  check     ask the tenant for a token and one task, and say what it answered and what to do
  sandbox   run only the sandbox tenant
  schema    print the GraphQL schema as SDL; with --subgraph, the SDL for federation, and with
            --federation 2.9 the costs of its fields too (default 2.5)

  --version, --help

Environment variables configure it; docs/configuration.md lists them.
`;

const COMMANDS: Readonly<Record<string, (options: CommandOptions) => Promise<void>>> = {
  serve: () => start(serve),
  sandbox: () => start(serveSandbox, { ...process.env, SANDBOX: 'true', SAIL_BASE_URL: '' }),
  check: () => check(),
  schema: async ({ subgraph, federation }) =>
    void process.stdout.write(subgraph ? printSubgraphSdl(schema, federation) : printSdl(schema)),
};

interface CommandOptions {
  subgraph: boolean;
  /** The version of Apollo Federation for which the subgraph is printed. */
  federation: FederationVersion;
}

await main();

async function main(): Promise<void> {
  const args = readArguments();
  if ('fault' in args) {
    process.stderr.write(`${args.fault}; see task-status-gateway --help\n`);
    process.exitCode = 2;
  } else if (args.help) process.stdout.write(USAGE);
  else if (args.version) process.stdout.write(`${readVersion()}\n`);
  else await args.run(args);
}

function readArguments() {
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        version: { type: 'boolean', short: 'v', default: false },
        subgraph: { type: 'boolean', default: false },
        federation: { type: 'string' },
      },
    });
    const [command = 'serve', ...others] = positionals;
    const run = COMMANDS[command];
    if (run === undefined)
      return {
        fault: `there is no command ${JSON.stringify(command)}: the commands are serve, check, sandbox and schema`,
      };
    if (others.length > 0) return { fault: `${command} takes no ${JSON.stringify(others[0])}` };
    if (values.subgraph && command !== 'schema') return { fault: '--subgraph is for schema alone' };
    if (values.federation !== undefined && !values.subgraph)
      return { fault: '--federation is for schema --subgraph alone' };
    const federation = FEDERATION_VERSIONS.find(
      version => version === (values.federation ?? '2.5'),
    );
    if (federation === undefined)
      return { fault: `--federation is one of ${FEDERATION_VERSIONS.join(', ')}` };
    return { ...values, federation, run };
  } catch (error) {
    // Node's message goes on with advice that is of no use here.
    const [message = ''] = (error as Error).message.split('. ', 1);
    return { fault: message };
  }
}

type Start = (config: Config) => Promise<{ close(): Promise<void> }>;

/**
 * Starts a server and closes it on SIGINT or SIGTERM. A faulty configuration is printed one fault per
 * line.
 */
async function start(begin: Start, env: NodeJS.ProcessEnv = process.env): Promise<void> {
  try {
    const config = readConfig(env);
    logProcess(createLog(config.logLevel, config.logFormat), () => process.exit(1));
    const started = begin(config);
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => void stop(started, config.shutdown));
    await started;
  } catch (error) {
    fail(error);
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
  const log = createLog(config.logLevel, config.logFormat);
  const metrics = createMetrics({ process: true });
  const { baseUrl } = config;
  if (baseUrl !== null) {
    const gateway = await startGateway({ ...config, baseUrl }, undefined, log, metrics);
    process.stdout.write(`GraphQL at ${gateway.url}, over ${baseUrl.origin}\n`);
    // A tenant that cannot be reached, or a wrong secret, is then in the log before the first caller finds out.
    void gateway.fetchToken();
    return gateway;
  }
  const sandbox = await startSandbox(config.sandbox);
  const options = { ...config, ...tenantOf(sandbox) };
  const gateway = await startGateway(options, undefined, log, metrics).catch(
    async (error: unknown) => {
      await sandbox.close();
      throw error;
    },
  );
  process.stdout.write(`GraphQL at ${gateway.url}, over the sandbox tenant at ${sandbox.url}\n`);
  log.warn('SAIL_BASE_URL is not set: all tasks are invented by the embedded sandbox tenant');
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

async function check(): Promise<void> {
  const print = (line: string) => void process.stdout.write(`${line}\n`);
  try {
    const config = readConfig(process.env);
    const { baseUrl, client } = config;
    let isWell: boolean;
    if (baseUrl === null) {
      const sandbox = await startSandbox({ ...config.sandbox, port: 0 });
      isWell = await checkTenant(config, tenantOf(sandbox), print).finally(sandbox.close);
    } else isWell = await checkTenant(config, { baseUrl, client, isSandbox: false }, print);
    process.exitCode = isWell ? 0 : 1;
  } catch (error) {
    fail(error);
  }
}

function tenantOf({ url, client }: Sandbox) {
  return { baseUrl: new URL(url), client, isSandbox: true };
}

function fail(error: unknown): void {
  process.stderr.write(`${explain(error)}\n`);
  process.exitCode = 1;
}

function explain(error: unknown): string {
  if (error instanceof ConfigError) return error.faults.join('\n');
  const { code, port } = error as { code?: string; port?: number };
  if (code === 'EADDRINUSE')
    return `PORT: ${port} is in use by another program; set PORT, METRICS_PORT or SANDBOX_PORT to a free port`;
  if (!(error instanceof Error)) return String(error);
  // A configuration fault names its variable, so the stack would not help.
  return /^[A-Z_]+: /.test(error.message) ? error.message : (error.stack ?? error.message);
}

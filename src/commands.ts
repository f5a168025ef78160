import { setTimeout as wait } from 'node:timers/promises';
import { type Config, ConfigError, readConfig } from './config.ts';
import { startGateway } from './gateway.ts';
import type { FederationVersion } from './graphql/federation-version.ts';
import { type Log, type ProgramLog, createLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { logProcess } from './process-log.ts';
import type { Sandbox, SandboxOptions } from './sandbox/sandbox.ts';

export interface CommandOptions {
  subgraph: boolean;
  /** The version of Apollo Federation for which the subgraph is printed. */
  federation: FederationVersion;
}

/** What a command takes from the process. */
export interface CommandProcess {
  env: NodeJS.ProcessEnv;
  /** From now on SIGINT and SIGTERM call this, and no longer end the process at once. */
  onStop(listener: () => void): void;
  /** Ends it once the last lines of its output are written. */
  exit(code: number): void;
  /** Ends it at once. */
  kill(): void;
}

/**
 * The commands of the program. Each resolves to its exit code, a server's once it listens; none
 * rejects.
 */
export type Commands = Record<
  'serve' | 'check' | 'sandbox' | 'schema',
  (options: CommandOptions) => Promise<number>
>;

type Start = (config: Config, log: ProgramLog) => Promise<{ close(): Promise<void> }>;

// Time to write the last lines of the log when everything else has taken too long.
const LAST_LINES_MS = 200;

export function createCommands({ env, onStop, exit, kill }: CommandProcess): Commands {
  return {
    serve: () => start(serve, env),
    sandbox: () => start(serveSandbox, { ...env, SANDBOX: 'true', SAIL_BASE_URL: '' }),
    check: () => check(env),
    schema: printSchema,
  };

  /**
   * Starts a server and closes it on the first SIGINT or SIGTERM. A faulty configuration is printed
   * one fault per line.
   */
  async function start(begin: Start, given: NodeJS.ProcessEnv): Promise<number> {
    try {
      const config = readConfig(given);
      const { shutdown } = config;
      const log = createLog(config.logLevel, config.logFormat);
      logProcess(log, () => void exitWithin(shutdown.graceMs, log.drained(), log, 1));
      let server: { close(): Promise<void> } | null = null;
      let isStopping = false;
      onStop(() => {
        // npm passes on a signal that the process group has got already. The second one must not
        // cut streams.
        if (isStopping) return;
        isStopping = true;
        // Before the program listens, there are no clients to answer.
        const closed = server?.close() ?? Promise.resolve();
        // The reader of the log has the rest of the time, too.
        const stopped = closed.then(() => log.drained());
        void exitWithin(shutdown.delayMs + shutdown.graceMs, stopped, log, 0);
      });
      server = await begin(config, log);
      return 0;
    } catch (error) {
      return fail(error);
    }
  }

  /**
   * Exits when all is done, or at the timeout. If the log is not read, an exit would wait for it
   * forever.
   */
  async function exitWithin(
    timeoutMs: number,
    done: Promise<void>,
    log: ProgramLog,
    code: number,
  ): Promise<void> {
    await Promise.race([done, wait(timeoutMs)]);
    const isWritten = log.drained().then(() => true);
    if (await Promise.race([isWritten, wait(LAST_LINES_MS, false)])) exit(code);
    else kill();
  }
}

async function serve(config: Config, log: Log): Promise<{ close(): Promise<void> }> {
  const metrics = createMetrics({ process: true });
  const { baseUrl } = config;
  if (baseUrl !== null) {
    const gateway = await startGateway({ ...config, baseUrl }, undefined, log, metrics);
    process.stdout.write(`GraphQL at ${gateway.url}, over ${baseUrl.origin}\n`);
    // A tenant that cannot be reached, or a wrong secret, is then in the log before the first
    // caller finds out.
    void gateway.fetchToken();
    return gateway;
  }
  const sandbox = await openSandbox(config.sandbox);
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
  const sandbox = await openSandbox({ ...options, host });
  const { id, secret } = sandbox.client;
  process.stdout.write(
    `Sandbox tenant at ${sandbox.url}\nSAIL_CLIENT_ID=${id}\nSAIL_CLIENT_SECRET=${secret}\n`,
  );
  return sandbox;
}

async function check(env: NodeJS.ProcessEnv): Promise<number> {
  const print = (line: string) => void process.stdout.write(`${line}\n`);
  try {
    const { checkTenant } = await import('./check.ts');
    const config = readConfig(env);
    const { baseUrl, client } = config;
    let isWell: boolean;
    if (baseUrl === null) {
      const sandbox = await openSandbox({ ...config.sandbox, port: 0 });
      isWell = await checkTenant(config, tenantOf(sandbox), print).finally(sandbox.close);
    } else isWell = await checkTenant(config, { baseUrl, client, isSandbox: false }, print);
    return isWell ? 0 : 1;
  } catch (error) {
    return fail(error);
  }
}

async function printSchema({ subgraph, federation }: CommandOptions): Promise<number> {
  const { schema } = await import('./graphql/schema.ts');
  const { printSdl, printSubgraphSdl } = await import('./graphql/sdl.ts');
  process.stdout.write(subgraph ? printSubgraphSdl(schema, federation) : printSdl(schema));
  return 0;
}

/** Starts a sandbox tenant. It is loaded only where there is no other tenant. */
async function openSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { startSandbox } = await import('./sandbox/sandbox.ts');
  return startSandbox(options);
}

function tenantOf({ url, client }: Sandbox) {
  return { baseUrl: new URL(url), client, isSandbox: true };
}

function fail(error: unknown): number {
  process.stderr.write(`${explain(error)}\n`);
  return 1;
}

/** An error of Node when a server starts to listen. */
interface ListenError {
  code?: string;
  syscall?: string;
  port?: number;
  address?: string;
  hostname?: string;
}

function explain(error: unknown): string {
  if (error instanceof ConfigError) return error.faults.join('\n');
  const { code = '', port, address, hostname, syscall } = error as ListenError;
  if (code === 'EADDRINUSE')
    return `PORT: ${port} is in use by another program; set PORT, METRICS_PORT or SANDBOX_PORT to a free port`;
  if (code === 'EACCES' && syscall === 'listen')
    return `PORT: this user may not listen on ${port}; set PORT, METRICS_PORT or SANDBOX_PORT to a port above 1023`;
  if (syscall === 'listen' || syscall === 'getaddrinfo')
    return `HOST: cannot listen at ${address ?? hostname} (${code}); set HOST to an address of this machine`;
  if (!(error instanceof Error)) return String(error);
  // A configuration fault names its variable, so the stack would not help.
  return /^[A-Z_]+: /.test(error.message) ? error.message : (error.stack ?? error.message);
}

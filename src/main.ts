#!/usr/bin/env node
import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import type { CommandOptions, Commands } from './commands.ts';
import { FEDERATION_VERSIONS } from './graphql/federation-version.ts';
import { readVersion } from './package-folder.ts';

const USAGE = `task-status-gateway [command]

  serve     run the gateway (default); without SAIL_BASE_URL it uses an embedded sandbox tenant
  check     ask the tenant for a token and one task, and say what it answered and what to do
  sandbox   run only the sandbox tenant
  schema    print the GraphQL schema as SDL; with --subgraph, the SDL for federation, and with
            --federation 2.9 the costs of its fields too (default 2.5)

  --version, --help

Environment variables configure it; docs/configuration.md lists them.
`;

const COMMANDS: readonly (keyof Commands)[] = ['serve', 'check', 'sandbox', 'schema'];

await main();

async function main(): Promise<void> {
  const args = readArguments();
  if ('fault' in args) {
    process.stderr.write(`${args.fault}; see task-status-gateway --help\n`);
    process.exitCode = 2;
  } else if (args.help) process.stdout.write(USAGE);
  else if (args.version) process.stdout.write(`${readVersion()}\n`);
  else {
    // The first process of a container gets only the signals that it listens to.
    let stop = (signal: StopSignal): void => process.exit(128 + constants.signals[signal]);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop(signal));
    // Loaded only now: the answers above need none of it.
    const { createCommands } = await import('./commands.ts');
    const commands = createCommands({
      env: process.env,
      onStop: listener => void (stop = listener),
      exit: code => process.exit(code),
      kill: () => process.kill(process.pid, 'SIGKILL'),
    });
    process.exitCode = await commands[args.command](args);
  }
}

type StopSignal = 'SIGINT' | 'SIGTERM';

interface Arguments extends CommandOptions {
  command: keyof Commands;
  help: boolean;
  version: boolean;
}

function readArguments(): { fault: string } | Arguments {
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
    const [given = 'serve', ...others] = positionals;
    const command = COMMANDS.find(name => name === given);
    if (command === undefined)
      return {
        fault: `there is no command ${JSON.stringify(given)}: the commands are serve, check, sandbox and schema`,
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
    return { ...values, federation, command };
  } catch (error) {
    // Node's message goes on with advice that is of no use here.
    const [message = ''] = (error as Error).message.split('. ', 1);
    return { fault: message };
  }
}

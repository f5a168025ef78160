import { compose } from './compose.ts';

// Prints the supergraph of running subgraphs, each given as name=url.
const subgraphs = process.argv.slice(2).map(argument => argument.split(/=(.*)/s, 2));
process.stdout.write(await compose(Object.fromEntries(subgraphs) as Record<string, string>));

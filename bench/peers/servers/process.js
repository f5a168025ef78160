// A process that the bench forks: it starts the server named in its arguments, and prints its URL.
import { countRequests } from './usage.js';

const [file, upstream] = process.argv.slice(2);
const { start } = await import(new URL(`${file}.js`, import.meta.url).href);
const { url, requests } = await start(upstream);
if (requests !== undefined) countRequests(requests);
process.stdout.write(`GraphQL at ${url}, over ${upstream}\n`);

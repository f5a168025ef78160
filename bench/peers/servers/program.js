// A program that starts the server named in its arguments, and prints its URL.
const [file, upstream] = process.argv.slice(2);
const { start } = await import(new URL(`${file}.js`, import.meta.url).href);
process.stdout.write(`GraphQL at ${(await start(upstream)).url}, over ${upstream}\n`);

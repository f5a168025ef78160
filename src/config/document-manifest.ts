import { readFileSync } from 'node:fs';
import * as z from 'zod';

const Text = z.string().min(1);
/** The format of Apollo's `generate-persisted-query-manifest`. */
const ApolloManifest = z
  .object({
    format: z.literal('apollo-persisted-query-manifest'),
    version: z.literal(1),
    operations: z.array(z.object({ id: Text, body: Text })),
  })
  .transform(({ operations }) => operations.map(({ id, body }): [string, string] => [id, body]));
/** Documents by hash: the format of Relay's compiler and of GraphQL Code Generator. */
const SimpleManifest = z.record(Text, Text).transform(documents => Object.entries(documents));

/** Reads the file at this path into documents by id. */
export const DocumentManifest = z.string().transform((path, context) => {
  const { data, error } = z.union([ApolloManifest, SimpleManifest]).safeParse(readJson(path));
  if (!error) return new Map(data);
  context.addIssue({
    code: 'custom',
    message:
      'must be the path of a JSON file: an object of documents by hash, or a persisted query manifest of Apollo',
  });
  return z.NEVER;
});

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

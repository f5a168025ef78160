import { readFileSync } from 'node:fs';
import { z } from 'zod';

const Text = z.string().min(1);
/** As Apollo's `generate-persisted-query-manifest` writes it. */
const ApolloManifest = z
  .object({
    format: z.literal('apollo-persisted-query-manifest'),
    version: z.literal(1),
    operations: z.array(z.object({ id: Text, body: Text })),
  })
  .transform(({ operations }) => operations.map(({ id, body }): [string, string] => [id, body]));
/** Documents by hash, as Relay's compiler and GraphQL Code Generator write it. */
const SimpleManifest = z.record(Text, Text).transform(documents => Object.entries(documents));

/** The path of a manifest, read into its documents by id. */
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

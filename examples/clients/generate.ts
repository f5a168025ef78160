import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { outputIntrospectionFile } from 'gql.tada/internal';
import { preset } from '@graphql-codegen/client-preset';
import { codegen } from '@graphql-codegen/core';
import { buildSchema, introspectionFromSchema, parse } from 'graphql';

const FOLDER = import.meta.dirname;
const OPERATIONS = join(FOLDER, 'operations.graphql');
const SDL = readFileSync(join(FOLDER, '../../schema.graphql'), 'utf8');
const SCALARS = { ID: 'string', DateTime: 'string', JSON: 'unknown' };

/** The content of each file in `generated/`, by its path. */
export async function generateTypes(): Promise<Map<string, string>> {
  return new Map([
    [join(FOLDER, 'generated/graphql.ts'), await generateOperations()],
    [join(FOLDER, 'generated/introspection.d.ts'), generateIntrospection()],
  ]);
}

/** The types and documents of `operations.graphql`, as codegen's client preset writes them. */
async function generateOperations(): Promise<string> {
  const rawSDL = readFileSync(OPERATIONS, 'utf8');
  const files = await preset.buildGeneratesSection({
    baseOutputDir: './',
    schema: parse(SDL),
    schemaAst: buildSchema(SDL),
    documents: [{ location: OPERATIONS, rawSDL, document: parse(rawSDL) }],
    config: { scalars: SCALARS, strictScalars: true, useTypeImports: true },
    presetConfig: { fragmentMasking: false },
    plugins: [],
    pluginMap: {},
  });
  // The other files of the preset serve operations that are written inside of TypeScript.
  const operations = files.find(({ filename }) => filename === './graphql.ts');
  if (!operations) throw new Error('The client preset generates no graphql.ts.');
  return codegen(operations);
}

/** The schema as gql.tada reads it. `oneOf` makes it accept exactly one field of such an input. */
function generateIntrospection(): string {
  const introspection = introspectionFromSchema(buildSchema(SDL), { oneOf: true });
  return outputIntrospectionFile(introspection, {
    fileType: '.d.ts',
    shouldPreprocess: true,
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  for (const [path, content] of await generateTypes()) writeFileSync(path, content);

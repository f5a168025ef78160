import {
  type DefinitionNode,
  type DocumentNode,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLSchema,
  Kind,
  Lexer,
  type OperationDefinitionNode,
  type SelectionSetNode,
  Source,
  TokenKind,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import type { Plugin } from 'graphql-yoga';
import { refusal } from '../access/refusal.ts';
import type { Credential } from '../../upstream/credentials.ts';
import type { Admission } from '../access/operation-gate.ts';
import type { ParseAllowance } from '../access/parse-allowance.ts';
import type { OperationParams } from '../access/operation-params.ts';

/** Limits on the size of a document. */
export interface DocumentLimits {
  tokens: number;
  aliases: number;
  rootFields: number;
  directives: number;
  depth: number;
}

/** What limits parsing for callers who have not been proven. */
export interface ParseLimits {
  /** Whether upstream has accepted a credential, or its claims are verified. */
  isProven(credential: Credential): boolean;
  parseAllowance: ParseAllowance;
}

/** The caches in which Yoga keeps parsed documents and parse errors. */
export interface DocumentCaches {
  documentCache: LRUCache<string, DocumentNode>;
  errorCache: LRUCache<string, Error>;
  /** The document with this text, if it is within the limits and valid, and is kept. */
  validDocument(text: string): DocumentNode | null;
  /** Call with a document of the cache that is within the limits and valid. */
  keepValid(document: DocumentNode): void;
}

interface OperationContext {
  admission: Admission;
  params: OperationParams;
}

// A syntax tree takes about 500 bytes per token, and keeps the text.
const BYTES_PER_TOKEN = 500;
const BYTES_PER_CHARACTER = 2;
const MAX_CACHED_BYTES = 67_108_864;
const MAX_CACHED_ERROR_LENGTH = 1_048_576;
// Open brackets that are allowed in addition to MAX_DEPTH, for fragments and for values of
// arguments.
const SPARE_NESTING = 100;
// Validation compares all fields of one name, and all fragments, pairwise, and visits every
// fragment for every operation. So its cost grows with the square of their number.
const MAX_REPEATED_FIELDS = 50;
const MAX_FRAGMENTS = 200;
const MAX_OPERATIONS = 20;

/** Caches that are bounded by the size of their entries, not by their number. */
export function createDocumentCaches(): DocumentCaches {
  const documentCache = new LRUCache<string, DocumentNode>({
    maxSize: MAX_CACHED_BYTES,
    sizeCalculation: ({ tokenCount = 1 }, text) =>
      BYTES_PER_TOKEN * (tokenCount + 1) + BYTES_PER_CHARACTER * text.length,
  });
  const valid = new WeakSet<DocumentNode>();
  return {
    documentCache,
    validDocument(text) {
      const document = documentCache.get(text);
      return document !== undefined && valid.has(document) ? document : null;
    },
    keepValid: document => void valid.add(document),
    errorCache: new LRUCache({
      maxSize: MAX_CACHED_ERROR_LENGTH,
      sizeCalculation: (_error, text) => Math.max(1, text.length),
    }),
  };
}

/**
 * Refuses a document that exceeds a limit with one error, before it is parsed or validated, because
 * both recurse or take more than linear time. Callers without a credential may only read the
 * schema.
 */
export function useDocuments(
  schema: GraphQLSchema,
  limits: DocumentLimits,
  { documentCache, errorCache, keepValid }: DocumentCaches,
  { isProven, parseAllowance }: ParseLimits,
): Plugin<{ admission?: Admission }> {
  const checked = new WeakSet<DocumentNode>();
  return {
    onParse({ params, context }) {
      const text = String(params.source);
      if (!documentCache.has(text) && !errorCache.has(text)) {
        const tokens = checkText(text, limits);
        const { admission } = context as OperationContext;
        if ('credential' in admission && !isProven(admission.credential))
          parseAllowance.take(admission.credential.address, tokens);
      }
      return ({ result }) => {
        if (result instanceof Error) return;
        const document = result as DocumentNode;
        if (!checked.has(document)) checkDocument(document, schema, limits);
        checked.add(document);
        const { admission, params: operation } = context as OperationContext;
        if ('refusal' in admission && !asksForSchema(document, operation.operationName))
          throw admission.refusal;
      };
    },
    onValidate:
      ({ params: { documentAST } }) =>
      ({ valid }) => {
        if (valid) keepValid(documentAST);
      },
  };
}

/** Counts tokens and open brackets, without recursion. Returns the number of tokens. */
function checkText(text: string, limits: DocumentLimits): number {
  let tokens = 0;
  let nesting = 0;
  let deepest = 0;
  const lexer = new Lexer(new Source(text));
  try {
    for (let { kind } = lexer.advance(); kind !== TokenKind.EOF; { kind } = lexer.advance()) {
      tokens++;
      if (OPENING.has(kind)) deepest = Math.max(deepest, ++nesting);
      else if (CLOSING.has(kind)) nesting--;
    }
  } catch (error) {
    // A syntax error. If the document is within the limits, the parser reports it.
    if (!(error instanceof GraphQLError)) throw error;
  }
  refuseAbove('tokens', tokens, limits.tokens, 'MAX_TOKENS');
  const maxNesting = limits.depth + SPARE_NESTING;
  refuseAbove('levels of brackets', deepest, maxNesting, 'MAX_DEPTH', `MAX_DEPTH=${limits.depth}`);
  return tokens;
}

const OPENING: ReadonlySet<string> = new Set([
  TokenKind.BRACE_L,
  TokenKind.BRACKET_L,
  TokenKind.PAREN_L,
]);
const CLOSING: ReadonlySet<string> = new Set([
  TokenKind.BRACE_R,
  TokenKind.BRACKET_R,
  TokenKind.PAREN_R,
]);

/** Counts what the document contains, without following fragments; the cost check does that. */
function checkDocument(
  document: DocumentNode,
  schema: GraphQLSchema,
  limits: DocumentLimits,
): void {
  const fragments = document.definitions.filter(isFragment).length;
  refuseAbove('fragments', fragments, MAX_FRAGMENTS, 'the gateway');
  refuseAbove('operations', operationsOf(document).length, MAX_OPERATIONS, 'the gateway');
  const counts = { aliases: 0, repeated: 0, directives: 0 };
  for (const definition of document.definitions) {
    if (
      definition.kind !== Kind.OPERATION_DEFINITION &&
      definition.kind !== Kind.FRAGMENT_DEFINITION
    )
      continue;
    counts.directives += definition.directives?.length ?? 0;
    for (const { directives } of definition.variableDefinitions ?? [])
      counts.directives += directives?.length ?? 0;
    count(definition.selectionSet, new Map());
  }
  refuseAbove('aliases', counts.aliases, limits.aliases, 'MAX_ALIASES');
  refuseAbove('directives', counts.directives, limits.directives, 'MAX_DIRECTIVES');
  refuseAbove('repeated fields', counts.repeated, MAX_REPEATED_FIELDS, 'the gateway');
  refuseAbove('root fields', rootFieldsOf(document), limits.rootFields, 'MAX_ROOT_FIELDS');

  /**
   * `seen` holds the names of one selection set, including its inline fragments, by type condition.
   */
  function count(
    { selections }: SelectionSetNode,
    seen: Map<string, Set<string>>,
    type = '',
  ): void {
    const names = seen.get(type) ?? new Set();
    seen.set(type, names);
    for (const selection of selections) {
      counts.directives += selection.directives?.length ?? 0;
      if (selection.kind === Kind.FIELD) {
        if (selection.alias) counts.aliases++;
        // Count `__typename` as repeated under any alias: one is enough.
        const isTypename = selection.name.value === '__typename';
        const name = isTypename ? '__typename' : (selection.alias ?? selection.name).value;
        if (names.has(name)) counts.repeated++;
        names.add(name);
        if (selection.selectionSet) count(selection.selectionSet, new Map());
      } else if (selection.kind === Kind.INLINE_FRAGMENT) {
        const condition = selection.typeCondition?.name.value ?? type;
        count(selection.selectionSet, seen, schema.getType(condition) ? condition : type);
      }
    }
  }
}

/** The largest number of root fields of an operation, including those of fragments. */
function rootFieldsOf(document: DocumentNode): number {
  const fragments = fragmentsOf(document);
  const known = new Map<string, number>();
  return Math.max(0, ...operationsOf(document).map(({ selectionSet }) => fieldsOf(selectionSet)));

  function fieldsOf({ selections }: SelectionSetNode): number {
    let fields = 0;
    for (const selection of selections)
      if (selection.kind === Kind.FIELD) fields++;
      else if (selection.kind === Kind.INLINE_FRAGMENT) fields += fieldsOf(selection.selectionSet);
      else fields += fieldsOfFragment(selection.name.value);
    return fields;
  }

  function fieldsOfFragment(name: string): number {
    const count = known.get(name);
    if (count !== undefined) return count;
    // Ends a cycle of fragments, which validation refuses later.
    known.set(name, 0);
    const fragment = fragments.get(name);
    const fields = fragment ? fieldsOf(fragment.selectionSet) : 0;
    known.set(name, fields);
    return fields;
  }
}

const NEEDS_NO_CREDENTIAL = new Set(['__typename', '__schema', '__type', '_service']);

/** Whether the operation selects only introspection and the subgraph's schema at its root. */
function asksForSchema(document: DocumentNode, operationName: string | undefined): boolean {
  const fragments = fragmentsOf(document);
  const seen = new Set<string>();
  const operations = operationsOf(document);
  const operation = operationName
    ? operations.find(({ name }) => name?.value === operationName)
    : operations[0];
  // If there is no such operation, execution reports it.
  return !operation || isSchemaOnly(operation.selectionSet);

  function isSchemaOnly({ selections }: SelectionSetNode): boolean {
    return selections.every(selection => {
      if (selection.kind === Kind.FIELD) return NEEDS_NO_CREDENTIAL.has(selection.name.value);
      if (selection.kind === Kind.INLINE_FRAGMENT) return isSchemaOnly(selection.selectionSet);
      const name = selection.name.value;
      if (seen.has(name)) return true;
      seen.add(name);
      const fragment = fragments.get(name);
      return !fragment || isSchemaOnly(fragment.selectionSet);
    });
  }
}

function operationsOf({ definitions }: DocumentNode): OperationDefinitionNode[] {
  return definitions.filter(definition => definition.kind === Kind.OPERATION_DEFINITION);
}

function fragmentsOf({ definitions }: DocumentNode): Map<string, FragmentDefinitionNode> {
  return new Map(definitions.filter(isFragment).map(fragment => [fragment.name.value, fragment]));
}

function isFragment(definition: DefinitionNode): definition is FragmentDefinitionNode {
  return definition.kind === Kind.FRAGMENT_DEFINITION;
}

function refuseAbove(
  what: string,
  found: number,
  allowed: number,
  variable: string,
  reason = variable,
): void {
  if (found <= allowed) return;
  throw refusal(
    'BAD_USER_INPUT',
    `The document has ${found} ${what}; ${reason} allows ${allowed}.`,
    { status: 400, spec: true },
  );
}

import {
  type ASTVisitor,
  type DocumentNode,
  type ExecutionArgs,
  type GraphQLSchema,
  type OperationDefinitionNode,
  TypeInfo,
  getOperationAST,
  visit,
  visitWithTypeInfo,
} from 'graphql';
import { LRUCache } from 'lru-cache';

// The values of longer variables are not kept: comparing them would take as long as counting the
// cost.
const MAX_KEY_LENGTH = 300;
const MAX_OPERATIONS = 5_000;

/**
 * Operations whose costs are within the limits, by the values of the variables that they depend on.
 */
export class AffordableOperations {
  readonly #keys = new LRUCache<string, true>({ max: MAX_OPERATIONS });
  readonly #facts = new WeakMap<OperationDefinitionNode, { id: number; variables: string[] }>();
  #lastId = 0;

  has(args: ExecutionArgs): boolean {
    const key = this.#keyOf(args);
    return key !== null && this.#keys.get(key) === true;
  }

  /** The variables must be valid, because an operation with invalid ones has no cost. */
  add(args: ExecutionArgs): void {
    const key = this.#keyOf(args);
    if (key !== null) this.#keys.set(key, true);
  }

  /** Null if the operation does not exist or its variables are too long. */
  #keyOf(args: ExecutionArgs): string | null {
    const { document, operationName, variableValues } = args;
    const operation = getOperationAST(document, operationName);
    if (!operation) return null;
    const { id, variables } = this.#factsOf(operation, args);
    if (variables.length === 0) return String(id);
    // A variable that is null is not the same as one that is missing, which has a default.
    const values = variables.map(name => ownValue(variableValues ?? {}, name));
    // The references of a router have many kB, and each value of a list at least a digit and a
    // comma.
    if (values.some(([value]) => Array.isArray(value) && 2 * value.length > MAX_KEY_LENGTH))
      return null;
    const key = JSON.stringify([id, values]);
    return key.length > MAX_KEY_LENGTH ? null : key;
  }

  #factsOf(operation: OperationDefinitionNode, { document, schema }: ExecutionArgs) {
    const known = this.#facts.get(operation);
    if (known !== undefined) return known;
    const facts = { id: this.#lastId++, variables: variablesOf(document, schema) };
    this.#facts.set(operation, facts);
    return facts;
  }
}

/** A list with the value that was sent; empty if none was. */
function ownValue(sent: Readonly<Record<string, unknown>>, name: string): unknown[] {
  return Object.hasOwn(sent, name) && sent[name] !== undefined ? [sent[name]] : [];
}

/**
 * The names of the variables that costs depend on: those in directives, and in arguments that a
 * cost is computed from.
 */
function variablesOf(document: DocumentNode, schema: GraphQLSchema): string[] {
  const names = new Set<string>();
  const types = new TypeInfo(schema);
  const visitor: ASTVisitor = {
    VariableDefinition: () => false,
    Variable({ name }) {
      const isFixed = typeof types.getFieldDef()?.extensions['cost'] !== 'function';
      if (types.getDirective() || !isFixed) names.add(name.value);
    },
  };
  visit(document, visitWithTypeInfo(types, visitor));
  return [...names];
}

import {
  type ExecutionArgs,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLCompositeType,
  type GraphQLField,
  GraphQLIncludeDirective,
  type GraphQLObjectType,
  type GraphQLSchema,
  GraphQLSkipDirective,
  Kind,
  type SelectionNode,
  type SelectionSetNode,
  getArgumentValues,
  getDirectiveValues,
  getNamedType,
  getNullableType,
  getOperationAST,
  getVariableValues,
  isAbstractType,
  isCompositeType,
  isIntrospectionType,
  isListType,
} from 'graphql';
import { GatewayError } from '../errors.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import { AffordableOperations } from './affordable-operations.ts';

/** What a field adds to the cost of its operation. */
export interface FieldCost {
  /** The cost of the field itself; 1 by default. */
  field?: number;
  /** How often the selection below the field is resolved; 1 by default, 10 for a list. */
  multiplier?: number;
  /** Upstream requests of the field itself. */
  requests?: number;
  /** 1 for a field that counts the list it is selected from. */
  counts?: number;
  /** Further upstream requests for each field selected directly below that counts the list. */
  requestsPerCount?: number;
  /** Tasks read by id, which upstream answers in batches. */
  ids?: number;
  /** Rows of lists that are read together, for several sources at once. */
  rows?: number;
}

/** The limits on the cost of an operation. */
export interface CostLimits {
  complexity: number;
  depth: number;
  upstreamRequests: number;
  /** Ids that one upstream request holds. */
  idsPerRequest: number;
}

interface Cost {
  complexity: number;
  depth: number;
  requests: number;
  counts: number;
  ids: number;
  rows: number;
}

type CostOf = FieldCost | ((args: never) => FieldCost);

const NOTHING: Cost = { complexity: 0, depth: 0, requests: 0, counts: 0, ids: 0, rows: 0 };
/**
 * How often the selection of a list counts, if the operation does not say how long the list may be.
 */
export const LIST_MULTIPLIER = 10;
// The response with the whole schema is about as long as a thousand fields.
const INTROSPECTION_COSTS: Readonly<Record<string, FieldCost>> = {
  __schema: { field: 1_000 },
  __type: { field: 100 },
};

/** Declares the cost of a field, as its option `extensions`. */
export function costs<Args extends object>(cost: FieldCost | ((args: Args) => FieldCost)) {
  return { cost };
}

/**
 * Throws BAD_USER_INPUT if an operation exceeds a limit. Takes fragments, variables, `@skip` and
 * `@include` into account.
 */
export type CheckCost = (args: ExecutionArgs) => void;

/**
 * Remembers operations within the limits, by the values of the variables that their costs depend
 * on.
 */
export function createCostCheck(limits: CostLimits): CheckCost {
  const affordable = new AffordableOperations();
  return args => {
    if (affordable.has(args)) return;
    const cost = costOf(args);
    if (cost === null) return;
    refuseAboveLimits(cost, limits);
    affordable.add(args);
  };
}

function refuseAboveLimits(cost: Cost, limits: CostLimits): void {
  refuseAbove('is nested', cost.depth, limits.depth, 'MAX_DEPTH', ' levels deep');
  refuseAbove(
    'costs',
    cost.complexity,
    limits.complexity,
    'MAX_COST',
    ', a field 1, as often as the lists it is in may be long',
  );
  const requests =
    cost.requests + Math.ceil(cost.ids / limits.idsPerRequest) + Math.ceil(cost.rows / PAGE_LIMIT);
  refuseAbove(
    'needs',
    requests,
    limits.upstreamRequests,
    'MAX_UPSTREAM_REQUESTS',
    ' upstream requests',
  );
}

function refuseAbove(
  verb: string,
  found: number,
  allowed: number,
  variable: string,
  unit: string,
): void {
  if (found > allowed)
    throw new GatewayError(
      'BAD_USER_INPUT',
      `The operation ${verb} ${found}${unit}; ${variable} allows ${allowed}.`,
    );
}

/** The cost of an operation. Null if it is invalid, which execution reports. */
function costOf({ schema, document, operationName, variableValues }: ExecutionArgs): Cost | null {
  const operation = getOperationAST(document, operationName);
  const type = operation && schema.getRootType(operation.operation);
  if (!operation || !type) return null;
  const isMap = typeof (variableValues ?? {}) === 'object';
  const { coerced } = getVariableValues(
    schema,
    operation.variableDefinitions ?? [],
    { ...(isMap ? variableValues : {}) },
    { maxErrors: 1 },
  );
  if (!coerced) return null;
  const fragments = new Map(
    document.definitions
      .filter(definition => definition.kind === Kind.FRAGMENT_DEFINITION)
      .map(fragment => [fragment.name.value, fragment]),
  );
  return createCounter(schema, fragments, coerced)(type, operation.selectionSet);
}

/**
 * Computes costs. Each selection set is counted once per type, even if several fragments contain
 * it.
 */
function createCounter(
  schema: GraphQLSchema,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  variables: Readonly<Record<string, unknown>>,
) {
  const known = new Map<SelectionSetNode, Map<GraphQLObjectType, Cost>>();
  return costOfComposite;

  /** The cost of a selection. For an abstract type, that of its most expensive possible type. */
  function costOfComposite(type: GraphQLCompositeType, set: SelectionSetNode): Cost {
    if (!isAbstractType(type)) return costOfObject(type, set);
    return schema.getPossibleTypes(type).reduce((most, possible) => {
      const cost = costOfObject(possible, set);
      return combine(most, cost, Math.max);
    }, NOTHING);
  }

  function costOfObject(type: GraphQLObjectType, set: SelectionSetNode): Cost {
    const byType = known.get(set) ?? new Map<GraphQLObjectType, Cost>();
    known.set(set, byType);
    const before = byType.get(type);
    if (before) return before;
    // Ends a cycle of fragments, which validation refuses.
    byType.set(type, NOTHING);
    const spread = new Set<string>();
    const total = set.selections.reduce((sum, selection) => {
      if (!isIncluded(selection)) return sum;
      if (selection.kind === Kind.FIELD) return add(sum, costOfField(type, selection));
      if (selection.kind === Kind.INLINE_FRAGMENT)
        return add(sum, costOfFragment(type, selection.typeCondition?.name.value, selection));
      // Execution visits each fragment once per selection set.
      if (spread.has(selection.name.value)) return sum;
      spread.add(selection.name.value);
      const fragment = fragments.get(selection.name.value);
      return fragment
        ? add(sum, costOfFragment(type, fragment.typeCondition.name.value, fragment))
        : sum;
    }, NOTHING);
    byType.set(type, total);
    return total;
  }

  function costOfFragment(
    type: GraphQLObjectType,
    condition: string | undefined,
    { selectionSet }: { selectionSet: SelectionSetNode },
  ): Cost {
    const target = condition === undefined ? type : schema.getType(condition);
    const applies = target === type || (isAbstractType(target) && schema.isSubType(target, type));
    return applies ? costOfObject(type, selectionSet) : NOTHING;
  }

  function costOfField(parent: GraphQLObjectType, node: FieldNode): Cost {
    const field = parent.getFields()[node.name.value];
    const own = field ? costOfDefinition(field, node) : INTROSPECTION_COSTS[node.name.value];
    const {
      field: complexity = 1,
      multiplier: declared,
      requests = 0,
      counts = 0,
      requestsPerCount = 0,
      ids = 0,
      rows = 0,
    } = own ?? {};
    const type = field ? getNamedType(field.type) : introspectedType(node);
    const below =
      node.selectionSet && isCompositeType(type)
        ? costOfComposite(type, node.selectionSet)
        : NOTHING;
    const isLongList =
      field !== undefined &&
      isListType(getNullableType(field.type)) &&
      !isIntrospectionType(parent);
    const times = declared ?? (isLongList ? LIST_MULTIPLIER : 1);
    return {
      complexity: complexity + below.complexity * times,
      depth: 1 + below.depth,
      requests: requests + below.requests * times + below.counts * requestsPerCount,
      counts,
      ids: ids + below.ids * times,
      rows: rows + below.rows * times,
    };
  }

  function costOfDefinition(field: GraphQLField<unknown, unknown>, node: FieldNode): FieldCost {
    const cost = field.extensions['cost'] as CostOf | undefined;
    if (typeof cost !== 'function') return cost ?? {};
    try {
      return cost(getArgumentValues(field, node, variables) as never);
    } catch {
      // An argument is missing or invalid. Execution reports it and resolves nothing.
      return {};
    }
  }

  function introspectedType({ name }: FieldNode) {
    if (name.value === '__schema') return schema.getType('__Schema');
    return name.value === '__type' ? schema.getType('__Type') : undefined;
  }

  function isIncluded(selection: SelectionNode): boolean {
    try {
      const skip = getDirectiveValues(GraphQLSkipDirective, selection, variables);
      const include = getDirectiveValues(GraphQLIncludeDirective, selection, variables);
      return skip?.['if'] !== true && include?.['if'] !== false;
    } catch {
      return true;
    }
  }
}

function add(one: Cost, other: Cost): Cost {
  return {
    ...combine(one, other, (a, b) => a + b),
    depth: Math.max(one.depth, other.depth),
  };
}

function combine(one: Cost, other: Cost, by: (a: number, b: number) => number): Cost {
  return {
    complexity: by(one.complexity, other.complexity),
    depth: by(one.depth, other.depth),
    requests: by(one.requests, other.requests),
    counts: by(one.counts, other.counts),
    ids: by(one.ids, other.ids),
    rows: by(one.rows, other.rows),
  };
}

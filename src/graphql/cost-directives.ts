import {
  type GraphQLFieldConfig,
  type GraphQLOutputType,
  getNamedType,
  getNullableType,
  isLeafType,
  isListType,
  isObjectType,
} from 'graphql';
import { type FieldCost, LIST_MULTIPLIER } from './cost.ts';

interface CostDirectives {
  cost?: { weight: number };
  listSize?: {
    assumedSize?: number;
    slicingArguments?: string[];
    sizedFields?: string[];
    requireOneSlicingArgument?: boolean;
  };
}

type Field = Pick<GraphQLFieldConfig<unknown, unknown>, 'type' | 'args' | 'extensions'>;

/**
 * The directives of federation 2.9 from which a router estimates a cost, with the numbers of
 * MAX_COST. A router counts 1 for a field that has fields of its own, and nothing for others: those
 * get a `@cost`.
 */
export function costDirectivesOf(field: Field): CostDirectives {
  const { field: weight = 1 } = declaredCostOf(field) ?? {};
  const isCounted = !isLeafType(getNamedType(field.type));
  return {
    ...((weight !== 1 || !isCounted) && { cost: { weight } }),
    ...listSizeOf(field),
  };
}

function listSizeOf({ type, args, extensions }: Field): Pick<CostDirectives, 'listSize'> {
  if (isList(type)) {
    // Otherwise the field that returns the page says how long it is.
    const isUnsized = declaredCostOf({ extensions })?.multiplier === undefined;
    return isUnsized ? { listSize: { assumedSize: LIST_MULTIPLIER } } : {};
  }
  const page = getNamedType(type);
  if (!isObjectType(page) || args?.['first'] === undefined) return {};
  const sizedFields = Object.values(page.getFields())
    .filter(field => isList(field.type))
    .map(({ name }) => name);
  // Without `assumedSize`, which some routers prefer to the argument.
  return {
    listSize: { slicingArguments: ['first'], sizedFields, requireOneSlicingArgument: false },
  };
}

function isList(type: GraphQLOutputType): boolean {
  return isListType(getNullableType(type));
}

function declaredCostOf({ extensions }: Pick<Field, 'extensions'>): FieldCost | undefined {
  const cost = extensions?.['cost'];
  // One that depends on the arguments changes only how often its selection counts.
  return typeof cost === 'function' ? undefined : (cost as FieldCost | undefined);
}

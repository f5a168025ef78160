import {
  type GraphQLCompositeType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isCompositeType,
  isObjectType,
  isUnionType,
} from 'graphql';

/** Whole numbers from 0 up to, and without, `below`. */
export type Dice = (below: number) => number;

/** Dice that always fall alike for one seed. */
export function createDice(seed: number): Dice {
  let state = seed | 0;
  return below => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/**
 * A query that selects any fields to a depth of three: under aliases, twice, in fragments, and
 * where the variables `$yes` and `$no` say so. `argumentsOf` gives a field's arguments, or null to
 * leave it out.
 */
export function writeQuery(
  schema: GraphQLSchema,
  dice: Dice,
  argumentsOf: (type: string, field: string, dice: Dice) => string | null = () => '',
): string {
  const fragments: string[] = [];
  const query = selectionOf(schema.getQueryType()!, 3);
  const used = '... @include(if: $yes) { __typename } ... @include(if: $no) { __typename }';
  return [`query Q($yes: Boolean!, $no: Boolean!) { ${used} ...${query} }`, ...fragments].join(
    '\n',
  );

  function selectionOf(type: GraphQLCompositeType, depth: number): string {
    const parts = Array.from({ length: 1 + dice(4) }, () => partOf(type, depth));
    return `{ __typename ${parts.join(' ')} }`;
  }

  function partOf(type: GraphQLCompositeType, depth: number): string {
    const kind = dice(10);
    if (isAbstractType(type) && (isUnionType(type) || kind < 7)) {
      const types = schema.getPossibleTypes(type);
      const possible = types[dice(types.length)]!;
      return `... on ${possible.name} ${condition()}${selectionOf(possible, depth)}`;
    }
    if (kind === 0) return `... ${condition()}${selectionOf(type, depth)}`;
    if (kind === 1) {
      const name = `F${fragments.length}`;
      fragments.push('');
      fragments[Number(name.slice(1))] =
        `fragment ${name} on ${type.name} ${selectionOf(type, depth)}`;
      return `...${name} ${condition()}`;
    }
    const fields = isUnionType(type) ? [] : Object.values(type.getFields());
    const field = fields[dice(fields.length)]!;
    const named = getNamedType(field.type);
    const args = argumentsOf(type.name, field.name, dice);
    if (args === null || (isCompositeType(named) && depth === 0)) return '';
    // One alias for each field and each set of arguments, so that no two selections conflict.
    const alias = `${isObjectType(type) ? type.name : 'Any'}_${field.name}${args.replaceAll(/\W/g, '')}`;
    const below = isCompositeType(named) ? selectionOf(named, depth - 1) : '';
    return `${alias}: ${field.name}${args} ${condition()}${below}`;
  }

  function condition(): string {
    const kinds = [
      '@include(if: $yes) ',
      '@include(if: $no) ',
      '@skip(if: $yes) ',
      '@skip(if: $no) ',
    ];
    return kinds[dice(12)] ?? '';
  }
}

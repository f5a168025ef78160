import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type ExecutionResult,
  type GraphQLResolveInfo,
  buildSchema,
  execute,
  parse,
  validate,
} from 'graphql';
import { createExecutePlanned } from '../../src/graphql/execution/execute.ts';
import { toNodeId } from '../../src/graphql/node.ts';
import { schema as gatewaySchema } from '../../src/graphql/schema.ts';
import type { Task } from '../../src/task/task.ts';
import { type Dice, createDice, writeQuery } from '../support/documents.ts';

const RUNS = { numRuns: 100, includeErrorInReport: true };

const worldSchema = buildSchema(`
  interface Named { name: String id: ID! }
  type Cat implements Named { name: String id: ID! color: Color friend: Named kittens: [Cat!] }
  type Dog implements Named { name: String id: ID! age: Int! owner: World! }
  union Pet = Cat | Dog
  enum Color { RED GREEN }
  type World {
    text: String sure: String! number: Int float: Float! flag: Boolean id: ID color: Color
    world: World sureWorld: World! worlds: [World] sureWorlds: [World!]! grid: [[Int!]]
    named: Named pet: Pet! pets: [Pet!]
  }
  type Query { text: String world: World sureWorld: World! worlds: [World!] pet: Pet number: Int! }
`);

interface World {
  /** Whether values may come as promises. */
  isLate: boolean;
  /** Whether what must not be null may be null, or fail. */
  breaksPromises: boolean;
}

/**
 * Values, nulls and errors that depend on the path alone, so that two executions are given the
 * same.
 */
function resolverOf(seed: number, { isLate, breaksPromises }: World) {
  return (_source: unknown, _args: unknown, _context: unknown, info: GraphQLResolveInfo) => {
    const keys: unknown[] = [seed];
    for (let path: GraphQLResolveInfo['path'] | undefined = info.path; path; path = path.prev)
      keys.push(path.key);
    const dice = createDice(
      Buffer.from(JSON.stringify(keys)).reduce((sum, byte) => sum * 31 + byte, 7),
    );
    const value = valueOf(String(info.returnType), dice);
    return value;
  };

  function valueOf(type: string, dice: Dice): unknown {
    const isSure = type.endsWith('!');
    const mayFail = breaksPromises || !isSure;
    const bare = isSure ? type.slice(0, -1) : type;
    const fate = dice(14);
    if (isLate && fate < 5) {
      const later = valueOf(type, dice);
      const promise = new Promise((resolve, reject) => {
        setImmediate(() => (later instanceof Error ? reject(later) : resolve(later)));
      });
      // It may be settled before its list is, and so before anybody waits for it.
      promise.catch(() => {});
      return promise;
    }
    if (mayFail && fate === 5) return null;
    if (mayFail && fate === 6) return new Error('returned');
    if (mayFail && fate === 7)
      throw Object.assign(new Error('thrown'), { extensions: { code: 'X' } });
    if (mayFail && fate === 8) return { is: 'of no type' };
    if (bare.startsWith('['))
      return Array.from({ length: dice(4) }, () => {
        try {
          const item = valueOf(bare.slice(1, -1), dice);
          // graphql-js forgets the promises of a list of which another item fails at once.
          return isLate ? Promise.resolve(item) : item;
        } catch (error) {
          if (!isLate) return error;
          const failure = Promise.reject(error);
          failure.catch(() => {});
          return failure;
        }
      });
    switch (bare) {
      case 'String':
      case 'ID':
        return ['text', 7, true, ''][dice(bare === 'ID' ? 2 : 4)];
      case 'Int':
        return [1, -5, '12', 2 ** 31, 1.5][dice(mayFail ? 5 : 3)];
      case 'Float':
        return [1.5, '2.5', Number.NaN][dice(mayFail ? 3 : 2)];
      case 'Boolean':
        return [true, 1, 'yes'][dice(3)];
      case 'Color':
        return ['RED', 'BLUE'][dice(mayFail ? 2 : 1)];
      case 'Named':
      case 'Pet':
        return { __typename: ['Cat', 'Dog'][dice(2)] };
      default:
        return {};
    }
  }
}

test('an operation without promises is answered as graphql-js answers it, errors in the same order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), async seed => {
      const { planned, expected } = await executeBoth(seed, {
        isLate: false,
        breaksPromises: true,
      });
      assert.deepEqual(planned, expected);
    }),
    RUNS,
  );
});

test('an operation with promises is answered as graphql-js answers it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), async seed => {
      const { planned, expected } = await executeBoth(seed, {
        isLate: true,
        breaksPromises: false,
      });
      assert.deepEqual(
        { ...planned, errors: sorted(planned) },
        { ...expected, errors: sorted(expected) },
      );
    }),
    RUNS,
  );
});

test('where what must not be null fails late, the same part of the answer is null', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), async seed => {
      const { planned, expected } = await executeBoth(seed, { isLate: true, breaksPromises: true });
      // Which of several errors comes first, and is the one that is reported, is a matter of
      // chance.
      assert.deepEqual(planned.data, expected.data);
      assert.equal(planned.errors === undefined, expected.errors === undefined);
    }),
    RUNS,
  );
});

test('tasks that are whole, odd, missing and unreadable are answered as graphql-js answers them', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), async seed => {
      const text = writeQuery(gatewaySchema, createDice(seed), argumentsOf);
      const document = parse(text);
      assert.deepEqual(validate(gatewaySchema, document), []);
      const args = {
        schema: gatewaySchema,
        document,
        variableValues: { yes: true, no: false },
        contextValue: contextOf(seed),
      };
      const planned = plain(await executePlanned({ ...args, contextValue: contextOf(seed) }));
      const expected = plain(await execute(args));
      assert.deepEqual(planned.data, expected.data, text);
      assert.deepEqual(errorPlaces(planned), errorPlaces(expected), text);
    }),
    RUNS,
  );
});

test('a list of which an item fails at once leaves no rejection unheard', async () => {
  const unheard: unknown[] = [];
  // Those of earlier tests, of graphql-js, are not meant.
  const listen = (error: unknown) => (error as Error).message === 'late' && unheard.push(error);
  process.on('unhandledRejection', listen);
  const schema = buildSchema('type Query { items: [Int!] }');
  const items = [Promise.reject(new Error('late')), 'no number'];
  const result = await executePlanned({
    schema,
    document: parse('{ items }'),
    rootValue: { items },
  });
  await new Promise(resolve => setImmediate(resolve));
  process.off('unhandledRejection', listen);
  assert.deepEqual(plain(result).data, { items: null });
  assert.deepEqual(unheard, []);
});

test('what is aborted is not completed, and rejects with the reason', async () => {
  const schema = buildSchema('type Query { world: World } type World { text: String }');
  const left = new AbortController();
  let wasRead = false;
  const world = new Promise(resolve => {
    setImmediate(() => {
      left.abort(new Error('The client has left.'));
      resolve({
        text() {
          wasRead = true;
        },
      });
    });
  });
  const document = parse('{ world { text } }');
  const args = { schema, document, rootValue: { world }, signal: left.signal };
  await assert.rejects(async () => executePlanned(args), { message: 'The client has left.' });
  assert.equal(wasRead, false);
  await assert.rejects(async () => executePlanned(args), { message: 'The client has left.' });
});

test('mutations, introspection and variables that do not fit are left to another executor', () => {
  const schema = buildSchema('type Query { text(of: Int): String } type Mutation { text: String }');
  const cases = [
    { document: parse('mutation { text }') },
    { document: parse('{ __schema { description } }') },
    { document: parse('query ($of: Int) { text(of: $of) }'), variableValues: { of: 'one' } },
    { document: parse('query A { text } query B { text }') },
    { document: parse('query A { text }'), operationName: 'B' },
    {
      document: parse('query ($is: Boolean = true) { text @include(if: $is) }'),
      variableValues: { is: null },
    },
  ];
  for (const args of cases) assert.equal(executePlanned({ schema, ...args }), null);
});

const executePlanned = createExecutePlanned();

async function executeBoth(seed: number, world: World) {
  const document = parse(writeQuery(worldSchema, createDice(seed)));
  assert.deepEqual(validate(worldSchema, document), []);
  const resolve = resolverOf(seed, world);
  for (const type of Object.values(worldSchema.getTypeMap()))
    if ('getFields' in type && !type.name.startsWith('__'))
      for (const field of Object.values(type.getFields())) Object.assign(field, { resolve });
  // Twice, with what decides the other way: a plan is of one decision only.
  const args = { schema: worldSchema, document, variableValues: { yes: false, no: true } };
  await executePlanned(args);
  args.variableValues = { yes: true, no: seed % 2 === 0 };
  const planned = plain(await executePlanned(args));
  return { planned, expected: plain(await execute(args)) };
}

/** As it is sent. */
function plain(result: ExecutionResult | null): ExecutionResult {
  assert.ok(result);
  const { data, errors } = result;
  return JSON.parse(JSON.stringify({ data, errors })) as ExecutionResult;
}

function sorted({ errors }: ExecutionResult): string[] | undefined {
  return errors?.map(error => JSON.stringify(error)).sort();
}

/**
 * The errors, and for a part of the answer that is null because of an error below it just its
 * place: which of several errors below it are reported depends on which comes first (specification,
 * section 6.4.4).
 */
function errorPlaces({ data, errors = [] }: ExecutionResult): string[] {
  const places = errors.map(error => {
    let value: any = data;
    for (const [depth, key] of (error.path ?? []).slice(0, -1).entries()) {
      if (value === null) return JSON.stringify(['null', (error.path ?? []).slice(0, depth)]);
      value = value[key];
    }
    return value === null
      ? JSON.stringify(['null', error.path?.slice(0, -1)])
      : JSON.stringify(error);
  });
  return [...new Set(places)].sort();
}

const ARGUMENTS: Record<string, string[]> = {
  'Query.taskStatus': ['(id: "1")', '(id: "missing")', '(id: "unreadable")', '(id: "odd")'],
  'Query._entities': [
    '(representations: [{ __typename: "TaskStatus", id: "1" }, { __typename: "TaskStatus", id: "missing" }, { __typename: "Source", id: "s" }, { __typename: "TaskStatus", id: "unreadable" }, { __typename: "Nothing", id: "1" }, 7])',
  ],
  'Query.node': ['1', 'missing', 'unreadable', 'odd'].map(
    id => `(nodeId: "${toNodeId('TaskStatus', id)}")`,
  ),
  'Query.nodes': [
    `(nodeIds: ["${toNodeId('Source', 's')}", "${toNodeId('TaskStatus', 'odd')}", "no node id", "${toNodeId('TaskStatus', 'missing')}"])`,
  ],
};

function argumentsOf(type: string, field: string, dice: Dice): string | null {
  // Introspection is not planned, and the schema for composition has no errors.
  if (field === '_service') return null;
  const known = ARGUMENTS[`${type}.${field}`];
  return known === undefined ? '' : known[dice(known.length)]!;
}

function contextOf(seed: number): unknown {
  const task = (id: string): Task => taskOf(id, createDice(seed + id.length));
  const load = async (id: string) => {
    if (id === 'missing') return null;
    if (id === 'unreadable') throw new Error('Unreadable.');
    return task(id);
  };
  return {
    caller: {
      session: {
        tasks: { load },
        aggregations: { load: async () => null, known: () => null },
        latest: async () => task('latest'),
        count: async () => (createDice(seed)(2) === 0 ? null : 3),
        list: async () => ({
          // Whole: an item that fails at once makes graphql-js leave the rejections of others
          // unheard.
          entries: ['1', '2', '3'].map(id => ({ cursor: id, task: { ...task(id), ...WHOLE } })),
          hasNextPage: true,
          hasPreviousPage: false,
          totalCount: createDice(seed)(2) === 0 ? null : 3,
          faults: [],
        }),
      },
    },
    now: () => Date.parse('2026-08-20T06:00:00.412Z'),
    read: {},
    omitted: [],
    aggregations: new Map(),
  };
}

const WHOLE = { uniqueName: 'n', created: 1, messages: [], percentComplete: 40 };

function taskOf(id: string, dice: Dice): Task {
  const at = (value: number) => (dice(3) === 0 ? null : value);
  return {
    id,
    type: dice(3) === 0 ? ('NEW' as Task['type']) : 'QUARTZ',
    rawType: 'QUARTZ',
    uniqueName: dice(4) === 0 ? (null as unknown as string) : 'Cloud Account Aggregation',
    description: null,
    parentName: null,
    launcher: 'System',
    target:
      at(0) === null ? null : { id: 's', type: 'APPLICATION', rawType: 'APPLICATION', name: null },
    created: dice(4) === 0 ? ('not a date' as unknown as number) : 1_787_000_000_000,
    modified: at(1_787_000_000_000),
    launched: at(1_787_000_000_000),
    completed: at(1_787_000_001_000),
    completionStatus: at(0) === null ? null : 'SUCCESS',
    rawCompletionStatus: null,
    messages:
      dice(4) === 0
        ? (null as unknown as Task['messages'])
        : [
            {
              type: 'WARN',
              key: 'k',
              localizedText: { locale: null, message: 'm' },
              parameters: [1],
            },
          ],
    returns: [{ name: 'n', attributeName: 'a' }],
    attributes: { total: '1' },
    progress: null,
    percentComplete: dice(4) === 0 ? 1.5 : 40,
    percentFloor: 0,
    taskDefinitionSummary: null,
    etag: '',
    wireBytes: 0,
  };
}

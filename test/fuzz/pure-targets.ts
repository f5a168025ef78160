import assert from 'node:assert/strict';
import { GraphQLError, type GraphQLScalarType, execute, parse, validate } from 'graphql';
import { ERROR_CODES, GatewayError } from '../../src/errors.ts';
import { schema } from '../../src/graphql/schema.ts';
import { createMaskError } from '../../src/http/access/mask-error.ts';
import { parseFilter } from '../../src/sandbox/filter.ts';
import type { Random } from '../../src/sandbox/random.ts';
import { ROW_MUTATIONS } from '../../src/sandbox/row-mutations.ts';
import { VERSIONS } from '../../src/sandbox/versions.ts';
import { readCursor, toCursor } from '../../src/task/cursor.ts';
import type { TaskFilter } from '../../src/task/filter.ts';
import { readSuccess } from '../../src/upstream/failure.ts';
import { readInstant } from '../../src/upstream/instant.ts';
import { cutByUrl, toQueryString } from '../../src/upstream/query.ts';
import { createRowReader } from '../../src/upstream/row-reader.ts';
import { UnreadableTask } from '../../src/upstream/wire.ts';
import { createCapturedLog } from '../support/captured-log.ts';
import { SPECIFIED_ROW } from '../support/row.ts';
import { type FuzzTarget, assertCoded } from './fuzz-target.ts';
import { anyJson, anyNumber, anyText, mutateBytes, mutateText } from './inputs.ts';

const RULES = VERSIONS.find(({ version }) => version === 'v1')!;
const DAY = '2026-08-20T06:00:00.412Z';

/** The result, or undefined where the input was refused with one of these codes. */
function attempt<T>(work: () => T, ...codes: string[]): T | undefined {
  try {
    return work();
  } catch (error) {
    assert.ok(error instanceof GatewayError && codes.includes(error.code), String(error));
    return undefined;
  }
}

/** What the filter compiler writes is read by the sandbox's parser, with the very values. */
const filters: FuzzTarget = {
  name: 'filters',
  share: 130,
  open: () => ({
    run(random) {
      const values = () =>
        Array.from({ length: random.between(1, 4) }, () =>
          anyText(random, random.pick([3, 20, 300])),
        );
      const filter: TaskFilter = {};
      if (random.chance(0.6)) filter.ids = values();
      if (random.chance(0.4)) filter.sourceIds = values();
      if (random.chance(0.4)) filter.launchers = values();
      if (random.chance(0.3)) filter.completionStatusIsNull = random.chance(0.5);
      const query = attempt(() => toQueryString({ filter, limit: 250 }), 'BAD_USER_INPUT');
      if (query === undefined) return 1;
      const written = new URLSearchParams(query).get('filters');
      const found = new Set<string>();
      if (written !== null) collect(parseFilter(written, RULES), found);
      for (const value of [filter.ids, filter.sourceIds, filter.launchers].flatMap(
        list => list ?? [],
      ))
        assert.ok(found.has(value.toLowerCase()), JSON.stringify(filter));
      assert.deepEqual(cutByUrl(filter.ids ?? [], 4_000, 200).flat(), filter.ids ?? []);
      return 1;
    },
  }),
};

function collect(expression: ReturnType<typeof parseFilter>, found: Set<string>): void {
  if (expression.kind === 'any')
    for (const value of expression.values) found.add(value.toLowerCase());
  else if (expression.kind === 'not') collect(expression.term, found);
  else if (expression.kind !== 'null') for (const term of expression.terms) collect(term, found);
}

const cursors: FuzzTarget = {
  name: 'cursors',
  share: 120,
  open: () => ({
    run(random) {
      const order = random.pick(['CREATED_ASC', 'CREATED_DESC'] as const);
      const task = { id: anyText(random) || 'x', created: random.pick([0, 1, Date.now(), -5]) };
      const good = toCursor(order, random.between(0, 2 ** 31 - 1), task);
      const text = random.pick([
        () => good,
        () => mutateText(random, good),
        () => anyText(random, 40),
        () =>
          Buffer.from(mutateText(random, Buffer.from(good, 'base64url').toString())).toString(
            'base64url',
          ),
      ])();
      const cursor = attempt(() => readCursor(text, order), 'BAD_USER_INPUT');
      if (cursor === undefined) return 1;
      assert.ok(cursor.offset >= 0 && cursor.offset < 2 ** 31, text);
      assert.ok(!Number.isNaN(new Date(cursor.created).getTime()), text);
      assert.ok(cursor.id.length > 0 && cursor.ties.every(tie => tie.length === 6), text);
      return 1;
    },
  }),
};

/** Values of the scalars in documents, in variables and in answers. */
const scalars: FuzzTarget = {
  name: 'scalars',
  share: 8,
  open() {
    const log = createCapturedLog();
    const maskError = createMaskError(log, { hidesSuggestions: false });
    const dateTime = schema.getType('DateTime') as GraphQLScalarType<Date, string>;
    const json = schema.getType('JSON') as GraphQLScalarType;
    const codesOf = (errors: readonly unknown[]) => errors.map(error => maskError(error).toJSON());
    const variable = parse(
      'mutation ($input: UpdateTaskStatusInput!) { updateTaskStatus(input: $input) { __typename } }',
    );
    return {
      async run(random) {
        const value = anyInstant(random);
        const input = {
          id: 'x',
          completionStatus: random.pick(['SUCCESS', anyText(random)]),
          completed: value,
        };
        const { errors } = await execute({ schema, document: variable, variableValues: { input } });
        // Where the value is taken, it is the missing context that fails.
        if (errors?.every(({ path }) => path === undefined)) assertCoded(codesOf(errors), value);
        const literal = random.pick([
          JSON.stringify(value),
          anyText(random, 20),
          mutateText(random, `"${DAY}"`),
        ]);
        try {
          const document = parse(
            `mutation { updateTaskStatus(input: { id: "x", completionStatus: ERROR, completed: ${literal} }) { __typename } }`,
          );
          const faults = validate(schema, document);
          if (faults.length > 0) assertCoded(codesOf(faults), literal);
        } catch (error) {
          assert.ok(error instanceof GraphQLError, String(error));
        }
        const instant = readInstant(value);
        if (instant !== null)
          assert.match(JSON.stringify(dateTime.serialize(instant)), /^"\d{4}-.*\.\d{3}Z"$/);
        json.serialize(anyJson(random));
        assert.equal(log.lines.length, 0, JSON.stringify([value, literal, log.lines]));
        return 2;
      },
    };
  },
};

function anyInstant(random: Random): unknown {
  return random.pick([
    () => mutateText(random, DAY, 2),
    () => DAY,
    () => anyNumber(random),
    () => anyJson(random, 1),
    () => new Date(random.between(0, 2 ** 31) * 1000).toUTCString(),
    () => mutateText(random, '2026-08-20 06:00:00.412345+02:00[Europe/Berlin]', 2),
  ])();
}

/** Pages of rows, as upstream might send them. */
const rows: FuzzTarget = {
  name: 'rows',
  share: 46,
  open() {
    const reader = createRowReader();
    const mutations = Object.values(ROW_MUTATIONS);
    return {
      run(random) {
        const page = Array.from({ length: random.between(0, 3) }, () => {
          const row: Record<string, unknown> = random.pick(mutations)({
            ...SPECIFIED_ROW,
            id: random.hex(8),
          });
          if (random.chance(0.7)) row[random.pick(Object.keys(SPECIFIED_ROW))] = anyJson(random);
          return row;
        });
        const bytes = Buffer.from(JSON.stringify(random.chance(0.9) ? page : anyJson(random)));
        const body = random.chance(0.5) ? bytes : mutateBytes(random, bytes);
        const read = attempt(() => reader.rows(body), 'UPSTREAM_INVALID_RESPONSE') ?? [];
        for (const row of read) {
          if (row instanceof UnreadableTask) continue;
          assert.ok(
            Number.isInteger(row.percentComplete) &&
              row.percentComplete >= 0 &&
              row.percentComplete <= 100,
          );
          assert.match(new Date(row.created).toISOString(), /^\d{4}-/);
          JSON.stringify(row);
        }
        return 1;
      },
    };
  },
};

const SECRET = 'eyJhbGciOiJub25lIn0.c2VjcmV0IG9mIHRoZSBjYWxsZXI.c2lnbmF0dXJl';

/** Answers that are no success: which failure they are, and what of their words is repeated. */
const answers: FuzzTarget = {
  name: 'answers',
  share: 46,
  open: () => ({
    run(random) {
      const status = random.pick([
        200,
        201,
        204,
        302,
        400,
        401,
        403,
        404,
        407,
        414,
        429,
        500,
        503,
        random.between(100, 599),
      ]);
      const error = {
        detailCode: random.pick(['400.1', anyText(random), SECRET, anyJson(random)]),
        trackingId: random.pick([random.hex(32), anyText(random), SECRET, anyJson(random)]),
        messages: [
          { text: random.pick([anyText(random, 60), `token ${SECRET}`, anyJson(random)]) },
        ],
      };
      const text = random.pick([
        JSON.stringify(error),
        mutateText(random, JSON.stringify(error)),
        anyText(random, 80),
        '',
      ]);
      const json = jsonOf(text);
      const header = (name: string) =>
        name === 'retry-after'
          ? random.pick([null, '5', '-1', '1e99', anyText(random), new Date().toUTCString()])
          : anyText(random);
      const answer = { status, header, body: Buffer.from(text), json };
      try {
        readSuccess(
          answer,
          random.pick(['list', 'task', 'token'] as const),
          { authorization: `Bearer ${SECRET}` },
          Date.now(),
        );
      } catch (failure) {
        assert.ok(
          failure instanceof GatewayError && ERROR_CODES.includes(failure.code),
          String(failure),
        );
        assert.notEqual(failure.code, 'INTERNAL_SERVER_ERROR');
        const { retryAfterSeconds = 1 } = failure.extensions;
        assert.ok(Number.isFinite(retryAfterSeconds) && retryAfterSeconds >= 0, text);
        assert.ok(failure.message.length < 600, text);
        assert.ok(
          !JSON.stringify([failure.message, failure.extensions]).includes(SECRET.slice(24, 40)),
          text,
        );
      }
      return 1;
    },
  }),
};

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export const PURE_TARGETS: readonly FuzzTarget[] = [filters, cursors, scalars, rows, answers];

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createOperationLog } from '../../src/http/observation/operation-line.ts';
import { createCapturedLog } from '../support/captured-log.ts';

const text = fc.string({ unit: 'binary' });
const figure = fc.integer({ min: 0, max: 1e6 }).map(tenths => tenths / 10);
const LINES = fc.record({
  identity: fc.record({
    type: fc.constantFrom('query', 'mutation', 'subscription', 'unknown'),
    name: fc.option(text),
    hash: fc.option(text),
  }),
  transport: fc.constantFrom('http', 'sse', 'websocket'),
  codes: fc.array(text),
  durationMs: figure,
  upstreamRequests: fc.nat(),
  budgetWaitMs: figure,
  requestId: text,
  events: fc.option(fc.nat()),
});

test('the JSON that is made for the log of the program has the fields that any other log gets, in their order', () => {
  const captured = createCapturedLog();
  const json: string[] = [];
  const infoJson = (fields: string) => void json.push(`{${fields}}`);
  const given = createOperationLog(captured);
  const own = createOperationLog(Object.assign(createCapturedLog(), { infoJson }));
  fc.assert(
    fc.property(LINES, fc.constantFrom('operation', 'subscription ended'), (line, message) => {
      // The second time, what it remembers of the operation is used.
      for (let time = 0; time < 2; time++) {
        given(line, message);
        own(line, message);
        const { level, message: msg, ...fields } = captured.lines.at(-1)!;
        assert.equal(level, 'info');
        assert.equal(json.at(-1), JSON.stringify({ ...fields, msg }));
      }
    }),
  );
});

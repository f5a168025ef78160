import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzz } from './fuzz-target.ts';
import { FUZZ_TARGETS } from './targets.ts';

// Enough to reach most of each generator within a few seconds in all; the bench tries a million.
const SLICE = 60;

for (const target of FUZZ_TARGETS)
  test(`${target.name}: generated input breaks nothing`, async t => {
    const { inputs } = await fuzz(t, target, { seed: 1, inputs: Math.max(SLICE, target.share) });
    assert.ok(inputs > 0);
  });

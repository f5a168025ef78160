import { parseArgs } from 'node:util';
import { fuzz } from '../test/fuzz/fuzz-target.ts';
import { FUZZ_TARGETS } from '../test/fuzz/targets.ts';

/**
 * Tries generated inputs on every part that takes input from outside, and prints a row for each.
 * The same seed gives the same inputs. Exits with 1 at the first input that breaks a promise.
 */
const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    target: { type: 'string' },
  },
});
const targets = FUZZ_TARGETS.filter(
  ({ name }) => values.target === undefined || name === values.target,
);
const shares = targets.reduce((sum, { share }) => sum + share, 0);

console.log('| target | inputs | a second | heap grew by |');
console.log('| --- | --- | --- | --- |');
let tried = 0;
for (const target of targets) {
  const closers: (() => unknown)[] = [];
  const { inputs, seconds, heapGrowthMb } = await fuzz(
    { after: close => void closers.push(close as () => unknown) },
    target,
    {
      seed: Number(values.seed),
      inputs: Math.ceil((Number(values.inputs) * target.share) / shares),
    },
  );
  for (const close of closers.toReversed()) await close();
  tried += inputs;
  const heap = heapGrowthMb === null ? '' : `${heapGrowthMb.toFixed(1)} MB`;
  console.log(
    `| ${target.name} | ${inputs.toLocaleString('en')} | ${Math.round(inputs / seconds).toLocaleString('en')} | ${heap} |`,
  );
}
console.log(`\n${tried.toLocaleString('en')} inputs, seed ${values.seed}`);

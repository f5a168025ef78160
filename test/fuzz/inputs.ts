import type { Random } from '../../src/sandbox/random.ts';

const CHARACTERS = [
  '"', '\\', '\\"', ' ', '(', ')', ',', ':', '{', '}', '[', ']', '&', '#', '%', '%22', '%zz', '+', '=', '/', '?', ';',
  '\n', '\r', '\t', '\0', '\u0000', '\u2028', '\ufeff', '\ud800', '\udfff', 'é', '界', '😀', '\u202e', 'a', 'Z', '0', '9', '-', '_',
  'null', 'true', '1e999', '-0', ' or ', ' and ', ' eq ', 'isnull', '__proto__', 'constructor', '$', '@', '...', '"""', '#',
]; // oxfmt-ignore

const NUMBERS = [
  0, -0, 1, -1, 250, 251, 0.5, 1e21, -1e21, 2 ** 31, -(2 ** 31) - 1, 2 ** 53, Number.MAX_VALUE, 8.64e15, 8.64e15 + 1,
]; // oxfmt-ignore

/** A text of up to `most` characters, often of those that mean something to a parser. */
export function anyText(random: Random, most = 12): string {
  const length = random.between(0, most);
  let text = '';
  while (text.length < length)
    text += random.chance(0.7)
      ? random.pick(CHARACTERS)
      : String.fromCharCode(random.between(0, random.pick([0x7f, 0xff, 0xffff])));
  return text;
}

export function anyNumber(random: Random): number {
  return random.chance(0.6)
    ? random.pick(NUMBERS)
    : (random.next() - 0.5) * 10 ** random.between(0, 20);
}

/** Any JSON value, `depth` levels deep at the most. */
export function anyJson(random: Random, depth = 3): unknown {
  const kind = random.between(0, depth > 0 ? 8 : 4);
  if (kind === 0) return random.pick([null, true, false]);
  if (kind === 1) return anyNumber(random);
  if (kind <= 4) return anyText(random);
  const items = Array.from({ length: random.between(0, 4) }, () => anyJson(random, depth - 1));
  if (kind <= 6) return items;
  return Object.fromEntries(items.map(item => [anyText(random, 4) || random.pick(NAMES), item]));
}

const NAMES = ['id', 'query', 'variables', 'extensions', 'type', '__typename', 'payload', 'length'];

/** The text with a few of its parts removed, doubled, moved or replaced. */
export function mutateText(random: Random, text: string, most = 3): string {
  let mutated = text;
  for (let count = random.between(1, most); count > 0; count--) {
    const from = random.between(0, mutated.length);
    const to = Math.min(mutated.length, from + random.between(0, 8));
    const part = mutated.slice(from, to);
    const replacement = random.pick([
      () => '',
      () => part + part,
      () => anyText(random, 6),
      () => part.repeat(random.between(1, 20)),
      () => part.split('').toReversed().join(''),
    ])();
    mutated = mutated.slice(0, from) + replacement + mutated.slice(to);
  }
  return mutated;
}

/** The bytes with a few of them changed, removed or repeated. */
export function mutateBytes(random: Random, bytes: Buffer, most = 4): Buffer {
  let mutated = Buffer.from(bytes);
  for (let count = random.between(1, most); count > 0 && mutated.length > 0; count--) {
    const at = random.between(0, mutated.length - 1);
    const length = random.between(0, 6);
    const change = random.between(0, 2);
    if (change === 0) mutated[at] = random.between(0, 255);
    else {
      // The part is left out, or repeated.
      const rest = mutated.subarray(change === 1 ? at + length : at);
      mutated = Buffer.concat([mutated.subarray(0, change === 1 ? at : at + length), rest]);
    }
  }
  return mutated;
}

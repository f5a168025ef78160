import { readFileSync } from 'node:fs';

/** What was set, and what is wrong with it before any value is checked: `NAME: fault`. */
export interface GivenValues {
  values: Record<string, string>;
  faults: string[];
}

export interface GivenValuesOptions {
  /** Every variable that there is. */
  names: readonly string[];
  /**
   * Those that may be read from a file instead, named by the variable with `_FILE` after its name.
   */
  secrets: readonly string[];
}

/** Names of the vendor's own tools begin so: a typo in one would otherwise start the sandbox. */
const VENDOR_PREFIX = /^SAIL_/i;
// Shorter names are near to too many others, such as HOST to HOME.
const MIN_LENGTH = 6;
const MIN_LENGTH_FOR_TWO = 10;
// Other programs have variables of these kinds, and ftp_proxy is no typo of http_proxy.
const NEVER_NEAR = /_proxy$/i;
// A wrong unit, or none, is as near as a file in place of a value.
const ENDING = /_(ms|millis|milliseconds|s|secs?|seconds|bytes|kb|mb|file)$/i;
// No secret has line ends, or what UTF-16 or Latin-1 become when they are read as UTF-8.
const NO_SECRET = /[\p{Cc}\uFFFD]/u;

/**
 * The variables that are set, without blanks and line ends around them; a blank variable is an
 * absent one. Secrets are read from files where that is asked for. A name that is nearly a known
 * one is a fault, as is an unknown `SAIL_…`.
 */
export function readGivenValues(
  env: Readonly<Record<string, string | undefined>>,
  { names, secrets }: GivenValuesOptions,
): GivenValues {
  const known = new Set([...names, ...secrets.map(fileVariableOf)]);
  const values: Record<string, string> = {};
  const faults: string[] = [];
  for (const [name, text = ''] of Object.entries(env)) {
    const value = text.trim();
    if (value === '') continue;
    if (known.has(name)) values[name] = value;
    else {
      const near = nearestOf(name, known);
      if (near !== null) faults.push(`${name}: there is no such variable; did you mean ${near}?`);
      else if (VENDOR_PREFIX.test(name)) faults.push(`${name}: there is no such variable`);
    }
  }
  for (const name of secrets) {
    const variable = fileVariableOf(name);
    const path = values[variable];
    delete values[variable];
    if (path === undefined) continue;
    if (values[name] !== undefined) {
      faults.push(`${variable}: must not be set together with ${name}`);
      continue;
    }
    const secret = readSecret(path);
    if ('fault' in secret) faults.push(`${variable}: ${secret.fault}`);
    else values[name] = secret.value;
  }
  return { values, faults };
}

function fileVariableOf(name: string): string {
  return `${name}_FILE`;
}

function readSecret(path: string): { value: string } | { fault: string } {
  try {
    const value = readFileSync(path, 'utf8').trim();
    if (value === '') return { fault: 'the file is empty' };
    return NO_SECRET.test(value) ? { fault: 'the file is not one line of UTF-8 text' } : { value };
  } catch (error) {
    return { fault: `the file cannot be read (${(error as NodeJS.ErrnoException).code})` };
  }
}

/** The known name that this one was probably meant to be; null where there is none. */
function nearestOf(name: string, known: ReadonlySet<string>): string | null {
  if (NEVER_NEAR.test(name) || name.length < MIN_LENGTH) return null;
  const [plain, stem] = [plainOf(name), stemOf(name)];
  let nearest: string | null = null;
  let least = Infinity;
  for (const candidate of known) {
    if (candidate.length < MIN_LENGTH || NEVER_NEAR.test(candidate)) continue;
    const most = candidate.length >= MIN_LENGTH_FOR_TWO ? 2 : 1;
    const isSpelledAlike = plainOf(candidate) === plain || stemOf(candidate) === stem;
    // An environment may have hundreds of variables, few of which are of a known one's length.
    if (!isSpelledAlike && Math.abs(name.length - candidate.length) > most) continue;
    const distance = distanceOf(name.toUpperCase(), candidate.toUpperCase());
    if ((distance > most && !isSpelledAlike) || distance >= least) continue;
    nearest = candidate;
    least = distance;
  }
  return nearest;
}

function plainOf(name: string): string {
  return name.replaceAll(/[-_.]/g, '').toUpperCase();
}

/** The name without its unit. */
function stemOf(name: string): string {
  return plainOf(name.replace(ENDING, ''));
}

/**
 * How many characters must be inserted, removed, replaced or swapped with the next to make one of
 * the other.
 */
function distanceOf(from: string, to: string): number {
  let before: number[] = [];
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let line = 0; line < from.length; line++) {
    const next = [line + 1];
    for (let column = 0; column < to.length; column++) {
      const isSwapped = line > 0 && from[line] === to[column - 1] && from[line - 1] === to[column];
      next.push(
        Math.min(
          (row[column + 1] ?? 0) + 1,
          (next[column] ?? 0) + 1,
          (row[column] ?? 0) + (from[line] === to[column] ? 0 : 1),
          isSwapped ? (before[column - 1] ?? 0) + 1 : Infinity,
        ),
      );
    }
    before = row;
    row = next;
  }
  return row[to.length] ?? 0;
}

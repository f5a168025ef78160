import { Refusal, internalFault } from './refusal.ts';
import type { VersionRules } from './versions.ts';

/** A parsed filter expression. */
export type Expression =
  | { kind: 'and' | 'or'; terms: Expression[] }
  | { kind: 'not'; term: Expression }
  | { kind: 'any'; field: string; values: string[] }
  | { kind: 'null'; field: string };

/** Reads a field of a task that a filter can name, as text; null if the task has none. */
export type FieldReader = (field: string) => string | null;

const COMPLETION_STATUSES = ['SUCCESS', 'WARNING', 'ERROR', 'TERMINATED', 'TEMPERROR'];
const KEYWORDS = new Set(['and', 'or', 'not']);
// The specifications of v2026 and v1 list this type, but live tenants reject it.
const LIVE_UNSUPPORTED_TYPES = new Set(['CLOUD_ENTITLEMENT_IMPORT']);
const MAX_DEPTH = 50;
// Alternatives: a quoted string with escapes; a word; a parenthesis or comma.
const TOKEN = /\s*(?:"((?:[^"\\]|\\["\\])*)"|([A-Za-z][\w.]*)|([(),]))/y;

interface Token {
  kind: 'string' | 'word' | 'mark' | 'end';
  text: string;
}

/**
 * Parses the filter language of the standard collection parameters. Throws a Refusal with status
 * 400 for an invalid filter. With `isLive`, also rejects filters that live tenants reject although
 * the specification allows them.
 */
export function parseFilter(text: string, rules: VersionRules, isLive = false): Expression {
  const tokens = tokenize(text);
  let at = 0;
  let depth = 0;

  const expression = alternatives();
  expect('end', '');
  return expression;

  function alternatives(): Expression {
    return joined('or', () => joined('and', negation));
  }

  function joined(kind: 'and' | 'or', operand: () => Expression): Expression {
    const first = operand();
    const terms = [first];
    while (take('word', kind)) terms.push(operand());
    return terms.length === 1 ? first : { kind, terms };
  }

  function negation(): Expression {
    if (++depth > MAX_DEPTH) throw syntax('it is nested too deeply');
    try {
      return take('word', 'not') ? { kind: 'not', term: negation() } : operand();
    } finally {
      depth--;
    }
  }

  function operand(): Expression {
    if (take('mark', '(')) {
      const inner = alternatives();
      expect('mark', ')');
      return inner;
    }
    return comparison();
  }

  function comparison(): Expression {
    const field = expect('word');
    const operator = expect('word');
    if (KEYWORDS.has(field)) throw syntax(`${field} is not a property`);
    const allowed = rules.operators[field];
    if (!allowed && isLive) throw internalFault();
    if (!allowed) throw illegal(`Filter property ${field} is not supported`);
    if (!allowed.some(known => known === operator))
      throw illegal(`Filter operator ${operator} is not supported for property ${field}`);
    if (operator === 'isnull') return { kind: 'null', field };
    const values = operator === 'eq' ? [expect('string')] : list();
    for (const value of values) {
      checkEnumeration(field, value, rules);
      if (isLive && field === 'type' && LIVE_UNSUPPORTED_TYPES.has(value.toUpperCase()))
        throw illegal('Unsupported Task Definition type');
    }
    return { kind: 'any', field, values: values.map(fold) };
  }

  function list(): string[] {
    expect('mark', '(');
    const values = [expect('string')];
    while (take('mark', ',')) values.push(expect('string'));
    expect('mark', ')');
    return values;
  }

  function take(kind: Token['kind'], text: string): boolean {
    const token = tokens[at];
    if (token?.kind !== kind || token.text !== text) return false;
    at++;
    return true;
  }

  function expect(kind: Token['kind'], text?: string): string {
    const token = tokens[at++];
    if (token?.kind !== kind || (text !== undefined && token.text !== text))
      throw syntax(`a ${kind} was expected at token ${at}`);
    return token.text;
  }
}

/** Whether a task matches the expression. Comparisons ignore case. */
export function matches(expression: Expression, read: FieldReader): boolean {
  switch (expression.kind) {
    case 'and':
      return expression.terms.every(term => matches(term, read));
    case 'or':
      return expression.terms.some(term => matches(term, read));
    case 'not':
      return !matches(expression.term, read);
    case 'null':
      return read(expression.field) === null;
    case 'any': {
      const value = read(expression.field);
      return value !== null && expression.values.includes(fold(value));
    }
  }
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const end = text.trimEnd().length;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < end) {
    const [, string, word, mark] = TOKEN.exec(text) ?? [];
    if (string !== undefined)
      tokens.push({ kind: 'string', text: string.replace(/\\(.)/gs, '$1') });
    else if (word !== undefined) tokens.push({ kind: 'word', text: word });
    else if (mark !== undefined) tokens.push({ kind: 'mark', text: mark });
    else throw syntax('there is an unexpected character');
  }
  tokens.push({ kind: 'end', text: '' });
  return tokens;
}

function checkEnumeration(field: string, value: string, rules: VersionRules): void {
  const known = { type: rules.definitionTypes, completionStatus: COMPLETION_STATUSES }[field];
  if (known && !known.includes(value.toUpperCase()))
    throw illegal(`Error converting Enumerated string (${field}) value (${value})`);
}

function fold(text: string): string {
  return text.toLowerCase();
}

function syntax(reason: string): Refusal {
  return new Refusal(400, '400.1 Bad request content', `The filter could not be read: ${reason}.`);
}

function illegal(text: string): Refusal {
  return new Refusal(400, '400.1.3 Illegal value', text);
}

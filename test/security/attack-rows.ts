import { UnsecuredJWT } from 'jose';
import type { Transport } from '../support/transports.ts';

/** One attack, tried over each transport. */
export interface AttackRow {
  name: string;
  /** What is sent. */
  body: unknown;
  /** The header; `good` stands for a token that upstream accepts. */
  authorization: string | null;
  /** The code of the refusal. */
  code: string;
  /** Where it differs, and null where the transport cannot carry the attack. */
  except?: Partial<Record<Transport, string | number | null>>;
  env?: Record<string, string>;
}

const FORGED = new UnsecuredJWT({ client_id: 'somebody else' }).encode();
const PROGRESS = 'subscription { taskProgress(id: "a") { id } }';

/** So many of them, separated by spaces. */
function many(count: number, one: (n: number) => string): string {
  return Array.from({ length: count }, (_, n) => one(n)).join(' ');
}

function nested(levels: number, value: unknown = 1): unknown {
  let inner = value;
  for (let level = 0; level < levels; level++) inner = [inner];
  return inner;
}

/** The attacks of the table in docs/security.md, in its order. */
export const ATTACK_ROWS: readonly AttackRow[] = [
  {
    name: 'no token',
    body: { query: PROGRESS },
    authorization: null,
    code: 'UNAUTHENTICATED',
  },
  {
    name: 'a malformed token',
    body: { query: PROGRESS },
    authorization: 'Bearer a b',
    code: 'UNAUTHENTICATED',
  },
  {
    name: 'a forged token',
    body: { query: '{ taskStatus(id: "a") { id } }' },
    authorization: `Bearer ${FORGED}`,
    code: 'UNAUTHENTICATED',
  },
  {
    name: 'a body above MAX_BODY_BYTES',
    body: { query: `{ __typename } # ${'x'.repeat(300_000)}` },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
    // The library of the protocol closes the socket.
    except: { WebSocket: 1009 },
  },
  {
    name: 'more tokens than MAX_TOKENS',
    body: { query: `{ ${many(15_001, () => 'a')} }` },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'more levels than MAX_DEPTH',
    body: {
      query: `{ __schema { types { fields { type ${many(9, () => '{ fields { type')} { name } ${many(21, () => '}')} }`,
    },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
    env: { INTROSPECTION: 'true' },
  },
  {
    name: 'brackets nested too deeply to parse',
    body: { query: `{ taskStatus(id: ${'['.repeat(3_000)}${']'.repeat(3_000)}) { id } }` },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'more aliases than MAX_ALIASES',
    body: { query: `{ taskStatus(id: "a") { ${many(501, n => `a${n}: id`)} } }` },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'more root fields than MAX_ROOT_FIELDS',
    body: {
      query: `{ ${many(26, () => '...F')} } fragment F on Query { ${many(20, n => `a${n}: taskStatus(id: "a") { id }`)} }`,
    },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'more directives than MAX_DIRECTIVES',
    body: { query: `{ __typename ${many(51, () => '@include(if: true)')} }` },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'a field repeated hundreds of times',
    body: { query: `{ taskStatus(id: "a") { ${many(500, () => 'id')} } }` },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'hundreds of fragments',
    body: {
      query: `{ ${many(201, n => `...F${n}`)} } ${many(201, n => `fragment F${n} on Query { __typename }`)}`,
    },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'fragments that spread each other',
    body: { query: '{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }' },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'dozens of operations in a document',
    body: { query: many(21, n => `query Q${n} { __typename }`), operationName: 'Q1' },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'a cost above MAX_COST',
    body: {
      query: `{ taskStatuses(first: 250) { nodes { ${many(300, n => `a${n}: id`)} } } }`,
    },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'more upstream requests than MAX_UPSTREAM_REQUESTS',
    body: { query: `{ ${many(101, n => `a${n}: taskStatuses(first: 1) { nodes { id } }`)} }` },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'variables nested thousands deep',
    body: { query: '{ __typename }', variables: { a: nested(3_000) } },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'variables of tens of thousands of values',
    body: { query: '{ __typename }', variables: { a: Array(30_000).fill(1) } },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'several operations in an array',
    body: [{ query: '{ __typename }' }, { query: '{ __typename }' }],
    authorization: 'good',
    code: 'BAD_USER_INPUT',
    // A GET cannot carry an array; over WebSocket the protocol forbids it.
    except: { GET: null, WebSocket: 4400 },
  },
  {
    name: 'introspection where it is off',
    body: { query: '{ __schema { queryType { name } } }' },
    authorization: 'good',
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'a document that PERSISTED_DOCUMENTS_ONLY does not list',
    body: { query: '{ taskStatuses { nodes { id } } }' },
    authorization: 'good',
    code: 'FORBIDDEN',
    env: { PERSISTED_DOCUMENTS_ONLY: 'true' },
  },
];

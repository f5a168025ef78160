import type { Client } from './clients.ts';
import { parseFilter } from './filter.ts';
import { Refusal, forbidden, notFound } from './refusal.ts';
import type { Tenant } from './tenant.ts';
import type { VersionRules } from './versions.ts';

/**
 * The answer of a resource: rows or a task as its body, and the total count in a header if
 * requested.
 */
export interface Answer {
  status: number;
  body: unknown;
  headers: Record<string, string>;
}

const MAX_LIMIT = 250;
const AGGREGATION_LEVELS = new Set(['ORG_ADMIN', 'SOURCE_ADMIN', 'SOURCE_SUBADMIN']);
const STATUSES = new Set(['SUCCESS', 'WARNING', 'ERROR', 'TERMINATED', 'TEMPERROR']);

/** Answers GET of the collection. */
export function listTasks(
  tenant: Tenant,
  rules: VersionRules,
  query: URLSearchParams,
  client: Client,
): Answer {
  const filters = query.get('filters');
  const selected = tenant.select({
    filter:
      filters === null || filters.trim() === ''
        ? null
        : parseFilter(filters, rules, tenant.oddities),
    completed: rules.listsRunning ? null : true,
    ascending: readSorters(query.get('sorters')),
    client,
  });
  return toPage(selected, query, {});
}

/** Answers GET and HEAD of `pending-tasks`, with the header that marks it as deprecated. */
export function listPendingTasks(tenant: Tenant, query: URLSearchParams, client: Client): Answer {
  const selected = tenant.select({ filter: null, completed: false, ascending: null, client });
  const headers = { 'X-Deprecated': 'true' };
  return selected.count === 0
    ? { status: 204, body: undefined, headers }
    : toPage(selected, query, headers);
}

/** Answers GET of one task. */
export function readTask(tenant: Tenant, id: string, client: Client): Answer {
  const task = tenant.read(id, client);
  if (task === null) throw notFound();
  return { status: 200, body: task, headers: {} };
}

/** Answers GET of the status of an account aggregation. Only users of these levels may read it. */
export function readAggregation(
  tenant: Tenant,
  id: string,
  rules: VersionRules,
  client: Client,
): Answer {
  if (client.kind !== 'user' || !AGGREGATION_LEVELS.has(client.level)) throw forbidden();
  const aggregation = tenant.readAggregation(id, client, rules);
  if (aggregation === null) throw notFound();
  return { status: 200, body: aggregation, headers: {} };
}

/** Answers PATCH of one task. Only users may PATCH, and only the two documented properties. */
export function patchTask(tenant: Tenant, id: string, body: unknown, client: Client): Answer {
  if (client.kind !== 'user' || client.level === 'HELPDESK') throw forbidden();
  const before = readTask(tenant, id, client);
  if (!Array.isArray(body)) throw badContent('a JSON Patch is an array of operations');
  const corrections = body.map(readOperation);
  for (const correction of corrections) tenant.correct(id, correction);
  return corrections.length === 0 ? before : readTask(tenant, id, client);
}

function readOperation(operation: unknown) {
  const { op, path, value } = (operation ?? {}) as Record<string, unknown>;
  if (op !== 'replace') throw badContent(`operation ${JSON.stringify(op)} is not supported`);
  if (path === '/completionStatus') {
    const status = String(value).toUpperCase();
    if (!STATUSES.has(status))
      throw new Refusal(
        400,
        '400.1.3 Illegal value',
        `Error converting Enumerated string (completionStatus) value (${String(value)})`,
      );
    return { completionStatus: status };
  }
  if (path === '/completed') {
    const completedAt = Date.parse(String(value));
    if (Number.isNaN(completedAt)) throw badContent('completed is not a date');
    return { completedAt };
  }
  throw badContent(`path ${JSON.stringify(path)} cannot be patched`);
}

function toPage(
  selected: ReturnType<Tenant['select']>,
  query: URLSearchParams,
  headers: Record<string, string>,
): Answer {
  const limit = readInteger(query, 'limit', MAX_LIMIT, MAX_LIMIT);
  const offset = readInteger(query, 'offset', 0, 2 ** 31 - 1);
  const body = selected.page(offset, limit);
  // The vendor's PowerShell client sends `True`.
  if (query.get('count')?.toLowerCase() !== 'true') return { status: 200, body, headers };
  return { status: 200, body, headers: { ...headers, 'X-Total-Count': String(selected.count) } };
}

function readInteger(query: URLSearchParams, name: string, absent: number, most: number): number {
  const text = query.get(name);
  if (text === null) return absent;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > most)
    throw new Refusal(
      400,
      '400.1.3 Illegal value',
      `${name} must be an integer between 0 and ${most}`,
    );
  return value;
}

/** True for ascending, false for descending, null if no order is requested. */
function readSorters(sorters: string | null): boolean | null {
  if (sorters === null || sorters === '') return null;
  if (sorters === 'created' || sorters === '-created') return sorters === 'created';
  throw new Refusal(
    400,
    '400.1.3 Illegal value',
    `Sort property ${sorters.replace(/^-/, '')} is not supported`,
  );
}

function badContent(reason: string): Refusal {
  return new Refusal(400, '400.1 Bad request content', `The request could not be read: ${reason}.`);
}

import { RedisFaultError, toRedisFault } from './redis-fault.ts';
import { GENERATION_KEY } from './redis-keys.ts';
import { askOnce } from './redis-session.ts';
import type { RedisHost, RedisTarget } from './redis-url.ts';

/** The server to talk to, and whom to ask the next time. */
export interface Discovery {
  server: RedisHost;
  target: RedisTarget;
}

/**
 * Finds the server that has the keys: the one of the URL, the master that the sentinels name, or the
 * cluster's node that owns the keys' slot. All keys have one hash tag, so one node is all of a cluster
 * that a gateway talks to; when the keys move, the connection is lost and this is asked again.
 */
export async function findServer(target: RedisTarget): Promise<Discovery> {
  switch (target.kind) {
    case 'single':
      return findSingle(target);
    case 'sentinel':
      return { target, server: await firstOf(target.hosts, host => masterOf(host, target)) };
    case 'cluster':
      return firstOf(target.hosts, host => ownerOf(host, target));
  }
}

/** The Redis of a plain URL may be a node of a cluster; then the cluster is what is meant. */
async function findSingle(target: RedisTarget): Promise<Discovery> {
  const [server] = target.hosts;
  if (!server) throw new RedisFaultError('the URL names no host', { isFinal: true });
  const info = await askOnce(server, target, async client => {
    try {
      return String(await client.call('INFO'));
    } catch (error) {
      // A user who may not ask is served as by a Redis of its own; the self-test finds the rest.
      if (/NOPERM/.test(String(error))) return '';
      throw error;
    }
  });
  if (/redis_mode:sentinel/.test(info))
    throw new RedisFaultError(
      'that is a Redis Sentinel; write redis-sentinel://host:port/master-name',
      { isFinal: true },
    );
  if (!/cluster_enabled:1/.test(info)) return { server, target };
  if (target.db !== 0)
    throw new RedisFaultError('that is a node of a cluster, which has one database: leave it out', {
      isFinal: true,
    });
  return findServer({ ...target, kind: 'cluster' });
}

async function masterOf(sentinel: RedisHost, target: RedisTarget): Promise<RedisHost> {
  const { sentinelUsername: username, sentinelPassword: password, masterName } = target;
  const answer = await askOnce(sentinel, { ...target, username, password, db: 0 }, client =>
    client.call('SENTINEL', 'get-master-addr-by-name', masterName ?? ''),
  );
  if (!Array.isArray(answer))
    throw new RedisFaultError(`the sentinels watch no master named ${masterName}`, {
      isFinal: true,
    });
  return { host: String(answer[0]), port: Number(answer[1]) };
}

type SlotRange = [first: number, last: number, ...nodes: [host: string, port: number][]];

async function ownerOf(node: RedisHost, target: RedisTarget): Promise<Discovery> {
  const [slot, ranges] = await askOnce(node, target, client =>
    Promise.all([
      client.call('CLUSTER', 'KEYSLOT', GENERATION_KEY),
      client.call('CLUSTER', 'SLOTS'),
    ]),
  );
  const nodesOf = ([, , ...nodes]: SlotRange) =>
    // A node that does not know its own address leaves it out.
    nodes.map(([host, port]) => ({ host: host && host !== '?' ? host : node.host, port }));
  const owner = (ranges as SlotRange[]).find(
    ([first, last]) => first <= Number(slot) && Number(slot) <= last,
  );
  const [server] = owner ? nodesOf(owner) : [];
  if (!server) throw new RedisFaultError(toRedisFault(new Error('CLUSTERDOWN')).reason);
  // The nodes of the URL may all be replaced one day.
  const known = [...target.hosts, ...(ranges as SlotRange[]).flatMap(nodesOf)];
  const hosts = [...new Map(known.map(host => [`${host.host} ${host.port}`, host])).values()];
  return { server, target: { ...target, hosts: hosts.slice(0, MAX_HOSTS) } };
}

// As many addresses are remembered of a cluster whose nodes come and go.
const MAX_HOSTS = 32;

/** The first answer of several hosts, asked in turn; the most telling fault where none answers. */
async function firstOf<T>(
  hosts: readonly RedisHost[],
  ask: (host: RedisHost) => Promise<T>,
): Promise<T> {
  let fault: unknown = null;
  for (const host of hosts)
    try {
      return await ask(host);
    } catch (error) {
      if (fault === null || toRedisFault(error).isFinal) fault = error;
    }
  throw fault;
}

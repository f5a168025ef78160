import { RedisFaultError, toRedisFault } from './redis-fault.ts';
import { GENERATION_KEY } from './redis-keys.ts';
import { askOnce } from './redis-session.ts';
import type { RedisHost, RedisTarget } from './redis-url.ts';

/** The server that holds the keys, and the target to use for the next discovery. */
export interface Discovery {
  server: RedisHost;
  target: RedisTarget;
}

/**
 * Finds the server that holds the keys: the one in the URL, the master that the sentinels name, or
 * the cluster node that owns the keys' slot. All keys have the same hash tag, so a gateway uses
 * only one node of a cluster. When the keys move to another node, the connection breaks and this
 * runs again.
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

/** A plain URL may name a node of a cluster. Then the cluster is used. */
async function findSingle(target: RedisTarget): Promise<Discovery> {
  const [server] = target.hosts;
  if (!server) throw new RedisFaultError('the URL names no host', { isFinal: true });
  const info = await askOnce(server, target, async client => {
    try {
      return String(await client.call('INFO'));
    } catch (error) {
      // Without the right to run INFO we assume a single Redis. The self-test will detect a
      // cluster.
      if (/NOPERM/.test(String(error))) return '';
      throw error;
    }
  });
  if (/redis_mode:sentinel/.test(info))
    throw new RedisFaultError(
      'the host is a Redis Sentinel; use redis-sentinel://host:port/master-name',
      { isFinal: true },
    );
  if (!/cluster_enabled:1/.test(info)) return { server, target };
  if (target.db !== 0)
    throw new RedisFaultError(
      'the host is a cluster node, and clusters have only one database; remove the database from the URL',
      {
        isFinal: true,
      },
    );
  return findServer({ ...target, kind: 'cluster' });
}

async function masterOf(sentinel: RedisHost, target: RedisTarget): Promise<RedisHost> {
  const { sentinelUsername: username, sentinelPassword: password, masterName } = target;
  const answer = await askOnce(sentinel, { ...target, username, password, db: 0 }, client =>
    client.call('SENTINEL', 'get-master-addr-by-name', masterName ?? ''),
  );
  if (!Array.isArray(answer))
    throw new RedisFaultError(`the sentinels do not know a master named ${masterName}`, {
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
    // A node that does not know its own address sends none.
    nodes.map(([host, port]) => ({ host: host && host !== '?' ? host : node.host, port }));
  const owner = (ranges as SlotRange[]).find(
    ([first, last]) => first <= Number(slot) && Number(slot) <= last,
  );
  const [server] = owner ? nodesOf(owner) : [];
  if (!server) throw new RedisFaultError(toRedisFault(new Error('CLUSTERDOWN')).reason);
  // Remember other nodes too, because those in the URL may be replaced.
  const known = [...target.hosts, ...(ranges as SlotRange[]).flatMap(nodesOf)];
  const hosts = [...new Map(known.map(host => [`${host.host} ${host.port}`, host])).values()];
  return { server, target: { ...target, hosts: hosts.slice(0, MAX_HOSTS) } };
}

// Limits the remembered addresses of a cluster whose nodes change.
const MAX_HOSTS = 32;

/**
 * Queries several hosts in turn and returns the first answer. If all fail, throws a final fault if
 * there is one, else the first.
 */
async function firstOf<T>(
  hosts: readonly RedisHost[],
  query: (host: RedisHost) => Promise<T>,
): Promise<T> {
  let fault: unknown = null;
  for (const host of hosts)
    try {
      return await query(host);
    } catch (error) {
      if (fault === null || toRedisFault(error).isFinal) fault = error;
    }
  throw fault;
}

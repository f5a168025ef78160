/** Where a Redis is, and how to sign in to it. */
export interface RedisTarget {
  kind: 'single' | 'cluster' | 'sentinel';
  /** Servers to ask first: the one Redis, nodes of the cluster, or the sentinels. */
  hosts: readonly RedisHost[];
  isTls: boolean;
  username: string | undefined;
  password: string | undefined;
  db: number;
  /** What the sentinels call the master; null for the other kinds. */
  masterName: string | null;
  sentinelUsername: string | undefined;
  sentinelPassword: string | undefined;
}

export interface RedisHost {
  host: string;
  port: number;
}

/** The forms of REDIS_URL, for an operator who has to correct one. */
export const REDIS_URL_FORMS =
  'redis://, redis-cluster:// or redis-sentinel:// (rediss… for TLS), then [user:password@]host[:port][,host[:port]…], then /database, or for sentinels /master-name';

const FORM =
  /^(redis|rediss)(?:[-+](cluster|sentinel))?:\/\/(?:(.*)@)?([^/?#@]+)(?:\/([^?#]*))?(?:\?([^#]*))?(?:#(.*))?$/;
const HOST = /^(\[[0-9a-f:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/i;
// The names that other clients give the parameter.
const MASTER_PARAMETERS = ['sentinelMasterId', 'sentinelServiceName', 'master_name', 'master'];

/**
 * Reads a REDIS_URL. The WHATWG parser cannot: several hosts, each with a port, are no URL to it.
 * Throws an Error that says what is wrong without quoting the URL, which may hold a password.
 */
export function readRedisUrl(text: string): RedisTarget {
  const match = FORM.exec(text.trim());
  if (!match) throw new Error(`must be ${REDIS_URL_FORMS}`);
  const [, scheme, form = 'single', userInfo, hostList = '', path = '', query, fragment] = match;
  const kind = form as RedisTarget['kind'];
  const hosts = hostList
    .split(',')
    .map(host => readHost(host, kind === 'sentinel' ? 26_379 : 6379));
  if (kind === 'single' && hosts.length > 1)
    throw new Error('must name one host; several are a redis-cluster:// or a redis-sentinel://');
  const parameters = new URLSearchParams(query);
  const [first = '', second = ''] = decode(path)
    .split('/')
    .filter(part => part !== '');
  const isNumber = /^\d+$/.test(first);
  const named = MASTER_PARAMETERS.map(name => parameters.get(name)).find(name => name);
  const masterName = named ?? (fragment || (isNumber ? second : first));
  if (kind === 'sentinel' && !masterName)
    throw new Error(
      'must name the master that the sentinels watch: redis-sentinel://host:port/name',
    );
  if (kind !== 'sentinel' && first !== '' && !isNumber)
    throw new Error('must have a database number after the host, or nothing');
  const db = kind === 'sentinel' && !isNumber ? Number(second || 0) : Number(first || 0);
  if (!Number.isInteger(db)) throw new Error('must have a whole number for a database');
  if (kind === 'cluster' && db !== 0)
    throw new Error('must not have a database: a cluster has one');
  const [username, password] = readUser(userInfo);
  return {
    kind,
    hosts,
    isTls: scheme === 'rediss',
    username: username || undefined,
    password: password || undefined,
    db,
    masterName: kind === 'sentinel' ? (masterName ?? null) : null,
    sentinelUsername: parameters.get('sentinelUsername') ?? undefined,
    sentinelPassword: parameters.get('sentinelPassword') ?? undefined,
  };
}

function readHost(text: string, defaultPort: number): RedisHost {
  const [, host, port] = HOST.exec(text.trim()) ?? [];
  if (host === undefined || Number(port ?? 1) > 65_535 || Number(port ?? 1) < 1)
    throw new Error(`must be ${REDIS_URL_FORMS}`);
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port ?? defaultPort) };
}

function readUser(text: string | undefined): [username: string, password: string] {
  if (text === undefined) return ['', ''];
  const colon = text.indexOf(':');
  return colon === -1
    ? [decode(text), '']
    : [decode(text.slice(0, colon)), decode(text.slice(colon + 1))];
}

/** A password with a percent sign that was not encoded is taken as it stands. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

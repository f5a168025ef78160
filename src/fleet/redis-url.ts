/** The address and credentials of a Redis. */
export interface RedisTarget {
  kind: 'single' | 'cluster' | 'sentinel';
  /** The single Redis, nodes of the cluster, or the sentinels. */
  hosts: readonly RedisHost[];
  isTls: boolean;
  username: string | undefined;
  password: string | undefined;
  db: number;
  /** The name of the master that the sentinels watch; null for the other kinds. */
  masterName: string | null;
  sentinelUsername: string | undefined;
  sentinelPassword: string | undefined;
}

export interface RedisHost {
  host: string;
  port: number;
}

/** The valid forms of REDIS_URL, for error messages. */
export const REDIS_URL_FORMS =
  'redis://, redis-cluster:// or redis-sentinel:// (rediss… for TLS), then [user:password@]host[:port][,host[:port]…], then /database, or for sentinels /master-name';

const FORM =
  /^(redis|rediss)(?:[-+](cluster|sentinel))?:\/\/(?:(.*)@)?([^/?#@]+)(?:\/([^?#]*))?(?:\?([^#]*))?(?:#(.*))?$/;
const HOST = /^(\[[0-9a-f:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/i;
// Names that other clients use for this parameter.
const MASTER_PARAMETERS = ['sentinelMasterId', 'sentinelServiceName', 'master_name', 'master'];

/**
 * Parses a REDIS_URL. The WHATWG parser does not accept several hosts with ports. Throws an Error
 * that says what is wrong without quoting the URL, which may hold a password.
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
    throw new Error('must name one host; for several use redis-cluster:// or redis-sentinel://');
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
    throw new Error('must have a database number or nothing after the host');
  const db = kind === 'sentinel' && !isNumber ? Number(second || 0) : Number(first || 0);
  if (!Number.isInteger(db)) throw new Error('must have an integer as database number');
  if (kind === 'cluster' && db !== 0)
    throw new Error('must not have a database number, because a cluster has only one database');
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

/** A password with an unencoded percent sign is used as it is. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Why Redis cannot be used. `reason` is written for operators and never holds a URL or a password.
 */
export interface RedisFault {
  reason: string;
  /** A retry cannot help; the configuration must be changed. */
  isFinal: boolean;
  /** Redis did not answer in time. Messages published meanwhile may have been missed. */
  isTimeout: boolean;
  /** Nothing listens at the address. */
  isRefused: boolean;
  /** The server is a cluster node, and another node owns the keys. */
  isMoved: boolean;
}

/** A fault found by the gateway itself rather than by Redis or the network. */
export class RedisFaultError extends Error {
  override readonly name = 'RedisFaultError';
  readonly isFinal: boolean;

  constructor(reason: string, { isFinal = false } = {}) {
    super(reason);
    this.isFinal = isFinal;
  }
}

const FINAL = true;

/** The command rights that a Redis user needs, besides keys and channels. */
const RIGHTS =
  '+@connection +@scripting +@sortedset +@set +@string +@keyspace +@pubsub +time +info';

/** Error replies of Redis, most specific first. `$1` is the first group of the pattern. */
const REPLIES: readonly [pattern: RegExp, reason: string, isFinal?: boolean][] = [
  [/WRONGPASS|ERR invalid password/i, 'the user name or password is wrong (WRONGPASS)', FINAL],
  [/NOAUTH/, 'Redis requires a password, but the URL has none (NOAUTH)', FINAL],
  [
    /wrong number of arguments for 'auth'/,
    'this Redis does not support user names; remove the user from the URL',
    FINAL,
  ],
  [/NOPERM.*?'([^']+)' command/, "the user may not run the command '$1' (NOPERM)", FINAL],
  [
    /NOPERM.*channel/,
    `the user may not use the gateway's channels (NOPERM); allow &{task-status-gateway:*`,
    FINAL,
  ],
  [
    /NOPERM.*key/,
    `the user may not use the gateway's keys (NOPERM); allow ~{task-status-gateway:*`,
    FINAL,
  ],
  [
    /can't publish|ACL failure in script.*channel/,
    `the user may not use the gateway's channels (NOPERM); allow &{task-status-gateway:*`,
    FINAL,
  ],
  [
    /can't access|ACL failure in script.*key/,
    `the user may not use the gateway's keys (NOPERM); allow ~{task-status-gateway:*`,
    FINAL,
  ],
  // Redis 7.0 does not name the command.
  [
    /can't run this command|ACL failure in script/,
    `the user may not run a command of the gateway's scripts (NOPERM); allow ${RIGHTS}`,
    FINAL,
  ],
  [/NOPERM/, 'the user lacks a right that the gateway needs (NOPERM)', FINAL],
  [/DENIED.*protected mode/, 'Redis is in protected mode and refuses remote clients', FINAL],
  [
    /unknown command\W+(\w+)/i,
    "Redis does not know the command '$1': Redis 6 or newer is needed, with no command renamed",
    FINAL,
  ],
  [
    /DB index is out of range|SELECT is not allowed/,
    'the database in the URL does not exist',
    FINAL,
  ],
  [/Protocol error, got/, 'the server is not Redis, or requires TLS (rediss://)', FINAL],
  [/^(?:MOVED|ASK|CROSSSLOT|TRYAGAIN)\b/, 'the cluster has moved the keys to another node (MOVED)'],
  [
    /CLUSTERDOWN|Hash slot not served/,
    'the cluster is down: not every slot is served (CLUSTERDOWN)',
  ],
  [/READONLY/, 'the server is a read-only replica (READONLY)'],
  [/MASTERDOWN/, 'the server is a replica that has lost its master (MASTERDOWN)'],
  [/LOADING/, 'Redis is still loading its data (LOADING)'],
  [/OOM command not allowed|^OOM/, 'Redis is out of memory (OOM)'],
  [/MISCONF/, 'Redis cannot save to disk and rejects writes (MISCONF)'],
  [/NOREPLICAS/, 'Redis has too few replicas to accept writes (NOREPLICAS)'],
  [/^BUSY\b/, 'Redis is busy with a script (BUSY)'],
  [/max number of clients/, 'Redis has reached its maximum number of clients (maxclients)'],
  [
    /^GENERATION/,
    'Redis has lost the state that instances share, or another instance has reset it',
  ],
  [
    /^FORGOTTEN/,
    'Redis has lost slots of the budget: it was flushed, or it evicts keys (maxmemory-policy)',
  ],
];

const NETWORK: Record<string, string> = {
  ECONNREFUSED: 'nothing listens at the address (ECONNREFUSED)',
  ECONNRESET: 'the connection was reset (ECONNRESET)',
  EPIPE: 'the connection was closed (EPIPE)',
  EHOSTUNREACH: 'there is no route to the host (EHOSTUNREACH)',
  ENETUNREACH: 'there is no route to the network (ENETUNREACH)',
  ENOTFOUND: 'the host name does not exist (ENOTFOUND)',
  EAI_AGAIN: 'the DNS lookup of the host name failed temporarily (EAI_AGAIN)',
};

/** Converts an error of the client, the network or Redis to a fault. */
export function toRedisFault(error: unknown): RedisFault {
  const { code = '', message = String(error) } = (error ?? {}) as {
    code?: string;
    message?: string;
  };
  const fault = {
    isFinal: false,
    isTimeout: false,
    isRefused: false,
    isMoved: /^(MOVED|ASK) /.test(message),
  };
  if (error instanceof RedisFaultError)
    return { ...fault, reason: message, isFinal: error.isFinal };
  if (code === 'ETIMEDOUT' || /timed out|ETIMEDOUT/.test(message))
    return { ...fault, reason: 'Redis does not answer in time (timeout)', isTimeout: true };
  const network = NETWORK[code];
  if (network) return { ...fault, reason: network, isRefused: code === 'ECONNREFUSED' };
  if (/^(ERR_SSL|ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(code) || code === 'EPROTO')
    return { ...fault, reason: `TLS failed (${code})`, isFinal: true };
  for (const [pattern, reason, isFinal = false] of REPLIES) {
    const match = pattern.exec(message);
    if (match) return { ...fault, reason: reason.replace('$1', match[1] ?? ''), isFinal };
  }
  if (/Connection is closed|connection close|isn't writeable/.test(message))
    return { ...fault, reason: 'the connection was closed' };
  return { ...fault, reason: `unexpected error from Redis or its client: ${message}` };
}

/** Why Redis cannot be used, in words for an operator. They hold no URL and no password. */
export interface RedisFault {
  reason: string;
  /** Trying again cannot help: somebody has to change the configuration. */
  isFinal: boolean;
  /** Redis did not answer in time. What it published meanwhile may not have been received. */
  isTimeout: boolean;
  /** Nothing listens at the address. */
  isRefused: boolean;
  /** It is a node of a cluster, and another node has the keys. */
  isMoved: boolean;
}

/** A fault that this gateway found by itself, rather than Redis or the network. */
export class RedisFaultError extends Error {
  override readonly name = 'RedisFaultError';
  readonly isFinal: boolean;

  constructor(reason: string, { isFinal = false } = {}) {
    super(reason);
    this.isFinal = isFinal;
  }
}

const FINAL = true;

/** What a user of Redis has to be allowed, besides keys and channels. */
const RIGHTS =
  '+@connection +@scripting +@sortedset +@set +@string +@keyspace +@pubsub +time +info';

/** What Redis answers, most telling first. `$1` is the first group of the pattern. */
const REPLIES: readonly [pattern: RegExp, reason: string, isFinal?: boolean][] = [
  [/WRONGPASS|ERR invalid password/i, 'the user name or password is wrong (WRONGPASS)', FINAL],
  [/NOAUTH/, 'Redis asks for a password, and the URL has none (NOAUTH)', FINAL],
  [
    /wrong number of arguments for 'auth'/,
    'this Redis knows no user names: leave out the user',
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
  // Redis 7.0 does not say which command.
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
    'the database of the URL does not exist',
    FINAL,
  ],
  [/Protocol error, got/, 'what listens there is not Redis, or wants TLS (rediss://)', FINAL],
  [/^(?:MOVED|ASK|CROSSSLOT|TRYAGAIN)\b/, 'the cluster has moved the keys to another node (MOVED)'],
  [
    /CLUSTERDOWN|Hash slot not served/,
    'the cluster is down: not every slot is served (CLUSTERDOWN)',
  ],
  [/READONLY/, 'it is a replica, and takes no writes (READONLY)'],
  [/MASTERDOWN/, 'it is a replica that has lost its master (MASTERDOWN)'],
  [/LOADING/, 'Redis is still loading its data (LOADING)'],
  [/OOM command not allowed|^OOM/, 'Redis is out of memory (OOM)'],
  [/MISCONF/, 'Redis cannot save to disk and takes no writes (MISCONF)'],
  [/NOREPLICAS/, 'Redis has too few replicas to take writes (NOREPLICAS)'],
  [/^BUSY\b/, 'Redis is busy with a script (BUSY)'],
  [/max number of clients/, 'Redis has as many clients as it allows (maxclients)'],
  [/^GENERATION/, 'Redis has lost what instances share, or another instance has begun it anew'],
  [
    /^FORGOTTEN/,
    'Redis has forgotten slots of the budget: it was flushed, or evicts keys (maxmemory-policy)',
  ],
];

const NETWORK: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there (ECONNREFUSED)',
  ECONNRESET: 'the connection was reset (ECONNRESET)',
  EPIPE: 'the connection was closed (EPIPE)',
  EHOSTUNREACH: 'there is no route to the host (EHOSTUNREACH)',
  ENETUNREACH: 'there is no route to the network (ENETUNREACH)',
  ENOTFOUND: 'the host name is not known (ENOTFOUND)',
  EAI_AGAIN: 'the host name cannot be looked up now (EAI_AGAIN)',
};

/** Explains an error of the client, of the network or of Redis itself. */
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
    return { ...fault, reason: 'it does not answer in time (timeout)', isTimeout: true };
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
  return { ...fault, reason: `Redis or its client says: ${message}` };
}

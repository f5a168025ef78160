/** Why there is no complete answer: input for the log and for retries. */
export interface ConnectionError {
  /** A short explanation, without URLs or headers. */
  explanation: string;
  /** The host or address that the connection was meant for; null where it is not known. */
  place?: string | null;
  /** Whether upstream may have seen the request. */
  isSent: boolean;
  /** Whether a retry would fail in the same way. */
  isLasting: boolean;
}

const UNSENT = { isSent: false, isLasting: false };
const LASTING = { isSent: false, isLasting: true };
const SENT = { isSent: true, isLasting: false };

const BY_CODE: Readonly<Record<string, ConnectionError>> = {
  ECONNREFUSED: { ...UNSENT, explanation: 'the connection was refused' },
  ENOTFOUND: { ...UNSENT, explanation: 'DNS has no such host' },
  EAI_AGAIN: { ...UNSENT, explanation: 'DNS did not answer' },
  EHOSTUNREACH: { ...UNSENT, explanation: 'there is no route to the host' },
  ENETUNREACH: { ...UNSENT, explanation: 'there is no route to the network' },
  ETIMEDOUT: { ...UNSENT, explanation: 'the connection was not made in time' },
  UND_ERR_CONNECT_TIMEOUT: { ...UNSENT, explanation: 'the connection was not made in time' },
  ECONNRESET: { ...SENT, explanation: 'the connection was reset' },
  EPIPE: { ...SENT, explanation: 'the connection was closed while the request was sent' },
  UND_ERR_SOCKET: {
    ...SENT,
    explanation: 'the connection was closed before the answer was complete',
  },
  UND_ERR_HEADERS_TIMEOUT: { ...SENT, explanation: 'no answer came in time' },
  UND_ERR_BODY_TIMEOUT: { ...SENT, explanation: 'the answer stalled' },
  UND_ERR_HEADERS_OVERFLOW: { ...SENT, explanation: 'the headers of the answer are too large' },
  UND_ERR_DESTROYED: { ...UNSENT, explanation: 'the gateway is closing' },
  Z_BUF_ERROR: { ...SENT, explanation: 'the compressed body is cut short' },
  Z_DATA_ERROR: { ...SENT, explanation: 'the body is not compressed as its header says' },
  CERT_HAS_EXPIRED: { ...LASTING, explanation: 'the certificate has expired' },
  CERT_NOT_YET_VALID: { ...LASTING, explanation: 'the certificate is not valid yet' },
  DEPTH_ZERO_SELF_SIGNED_CERT: { ...LASTING, explanation: 'the certificate is self-signed' },
  SELF_SIGNED_CERT_IN_CHAIN: {
    ...LASTING,
    explanation:
      'the certificate is issued by an authority that is not trusted here (NODE_EXTRA_CA_CERTS adds one)',
  },
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: {
    ...LASTING,
    explanation:
      'the certificate is issued by an authority that is not trusted here (NODE_EXTRA_CA_CERTS adds one)',
  },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: {
    ...LASTING,
    explanation:
      'the certificate is issued by an authority that is not trusted here (NODE_EXTRA_CA_CERTS adds one)',
  },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    ...LASTING,
    explanation: 'the certificate is for another host name',
  },
  UND_ERR_PRX_CONN: { ...UNSENT, explanation: 'the proxy closed the connection' },
  UND_ERR_PRX_TLS: { ...LASTING, explanation: 'the certificate is for another host name' },
  EPROTO: { ...LASTING, explanation: 'the TLS handshake failed' },
  ERR_SSL_WRONG_VERSION_NUMBER: { ...LASTING, explanation: 'the host does not speak TLS' },
};

/** Explains an error of undici, Node's sockets, TLS or zlib. */
export function explainConnectionError(error: unknown): ConnectionError {
  // After trying several addresses, Node wraps the error of each.
  const errors =
    error instanceof AggregateError ? [error, ...(error.errors as unknown[])] : [error];
  for (const each of errors) {
    const { code = '', message = '' } = (each ?? {}) as { code?: string; message?: string };
    // undici reports proxy failures only in the message.
    const [, status] = /Proxy response \((\d+)\)/.exec(message) ?? [];
    if (status === '407' || message.includes('Proxy Authentication Required'))
      return { ...LASTING, explanation: 'the proxy requires credentials (407)' };
    if (status !== undefined)
      return { ...UNSENT, explanation: `the proxy refused to connect (${status})` };
    const known = BY_CODE[code];
    if (known) return { ...known, place: placeOf(each) };
    if (code.startsWith('HPE_') || (each as Error).name === 'HTTPParserError')
      return { ...SENT, explanation: 'the answer is not HTTP' };
    if (/^(ERR_(SSL|TLS)|CERT|UNABLE)_/.test(code))
      return { ...LASTING, explanation: `TLS failed (${code})` };
  }
  const { code = 'no code' } = (error ?? {}) as { code?: string };
  return { ...SENT, explanation: `the connection failed (${code})` };
}

/** An explanation for the log that includes the peer of the connection. */
export function describeConnectionError(error: unknown): string {
  const { explanation, place = null } = explainConnectionError(error);
  return place === null ? explanation : `${explanation} (${place})`;
}

/** The peer of the connection: the proxy, if there is one, otherwise upstream. */
function placeOf(error: unknown): string | null {
  const { hostname, address, port } = error as Record<string, string | number | undefined>;
  if (hostname !== undefined) return String(hostname);
  return address === undefined ? null : `${address}:${port}`;
}

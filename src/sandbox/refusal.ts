/** An error answer of the sandbox, with the texts that upstream uses. */
export class Refusal extends Error {
  readonly status: number;
  readonly detailCode: string;
  readonly headers: Record<string, string>;

  constructor(
    status: number,
    detailCode: string,
    text: string,
    headers: Record<string, string> = {},
  ) {
    super(text);
    this.status = status;
    this.detailCode = detailCode;
    this.headers = headers;
  }

  /**
   * The body of the answer. 401 and 429 have forms of their own, because API gateways in front of
   * the services send them.
   */
  toJson(trackingId: string): unknown {
    if (this.status === 401) return { error: this.message };
    if (this.status === 429) return { message: this.message };
    const messages = [
      { locale: 'en-US', localeOrigin: 'DEFAULT', text: this.message },
      { locale: 'und', localeOrigin: 'REQUEST', text: this.message },
    ];
    return { detailCode: this.detailCode, trackingId, messages, causes: [] };
  }
}

export function unauthorized(text: string): Refusal {
  return new Refusal(401, '', text);
}

export function forbidden(): Refusal {
  return new Refusal(
    403,
    '403 Forbidden',
    'The server understood the request but refuses to authorize it.',
  );
}

export function notFound(): Refusal {
  return new Refusal(
    404,
    '404 Not found',
    'The server did not find a current representation for the target resource.',
  );
}

export function rateLimited(retryAfterSeconds: number): Refusal {
  return new Refusal(429, '', ' Rate Limit Exceeded ', {
    'Retry-After': String(retryAfterSeconds),
  });
}

export function internalFault(): Refusal {
  return new Refusal(500, '500.0 Internal Fault', 'An internal fault occurred.');
}

import { type ErrorCode, type ErrorDetails, GatewayError } from '../../errors.ts';

/** What a failed attempt says about upstream: input for the breaker and for retries. */
export interface Diagnosis {
  /**
   * `unreachable`: no connection could be made. `failing`: upstream, or a proxy before it, could
   * not process requests. `healthy`: upstream answered and refused this request.
   */
  health: 'unreachable' | 'failing' | 'healthy';
  /** The maximum number of retries, if the request is safe to repeat. */
  maxRetries: number;
  /** Whether upstream may have acted on the request. */
  mayHaveActed: boolean;
}

/** Details for callers (`ErrorDetails`), and others that callers do not see. */
export interface AttemptDetails extends ErrorDetails {
  /** A short explanation for the log; undefined if upstream is healthy. */
  explanation?: string | undefined;
  /** The host or address of the connection, for the log alone; null if it is not known. */
  place?: string | null;
  /** Whether the answer has an error message of upstream, rather than of a proxy before it. */
  hasUpstreamMessage?: boolean;
}

/** A failed attempt: the error for the caller, and a diagnosis. */
export class AttemptFailure extends GatewayError {
  readonly diagnosis: Diagnosis;
  readonly explanation: string | undefined;
  readonly place: string | null;
  readonly hasUpstreamMessage: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    diagnosis: Diagnosis,
    { explanation, place = null, hasUpstreamMessage = false, ...details }: AttemptDetails = {},
  ) {
    super(code, message, details);
    this.diagnosis = diagnosis;
    this.explanation = explanation;
    this.place = place;
    this.hasUpstreamMessage = hasUpstreamMessage;
  }

  /** The status of upstream's answer; null if there was no answer. */
  get status(): number | null {
    return this.extensions.upstream?.status ?? null;
  }
}

/** The maximum number of retries, unless the failure says otherwise. */
export const MAX_RETRIES = 3;
/** How long to wait after a 429 without a Retry-After. */
export const DEFAULT_RETRY_AFTER_SECONDS = 1;

import { type ErrorCode, type ErrorDetails, GatewayError } from '../../errors.ts';

/** What a failed attempt says about upstream, for those who decide what comes next. */
export interface Diagnosis {
  /**
   * `unreachable`: no connection, whoever asks. `failing`: upstream, or something before it, is not
   * able to answer. `well`: it has answered, and refused what was asked.
   */
  health: 'unreachable' | 'failing' | 'well';
  /** How often the request may be sent again, if a repetition does no harm. */
  maxRetries: number;
  /** Whether upstream may have acted on the request. */
  wasSeen: boolean;
}

/** Beside what a caller may see. */
export interface AttemptDetails extends ErrorDetails {
  /** What happened, in plain words for an operator's log; undefined where nothing is wrong with upstream. */
  explanation?: string | undefined;
  /** The host or address that a connection was meant for, for the log alone; null where none is known. */
  place?: string | null;
  /** Whether upstream itself has answered, in words of its own. */
  isWorded?: boolean;
}

/** An attempt that failed: what the caller is told, and what is to be made of it. */
export class AttemptFailure extends GatewayError {
  readonly diagnosis: Diagnosis;
  readonly explanation: string | undefined;
  readonly place: string | null;
  readonly isWorded: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    diagnosis: Diagnosis,
    { explanation, place = null, isWorded = false, ...details }: AttemptDetails = {},
  ) {
    super(code, message, details);
    this.diagnosis = diagnosis;
    this.explanation = explanation;
    this.place = place;
    this.isWorded = isWorded;
  }

  /** The status of upstream's answer; null where there was none. */
  get status(): number | null {
    return this.extensions.upstream?.status ?? null;
  }
}

/** How often a request is sent again at the most, where nothing says otherwise. */
export const MAX_RETRIES = 3;
/** How long to wait after a 429 that does not say. */
export const DEFAULT_RETRY_AFTER_SECONDS = 1;

import type { ExecutionResult } from 'graphql';
import type { DirectStream } from '../../progress/direct-stream.ts';

/** The results of a subscription. Their errors are not masked yet. */
export type DirectResults = Pick<
  DirectStream<ExecutionResult | Promise<ExecutionResult>>,
  'take' | 'whenAvailable'
> &
  AsyncIterator<unknown>;

/** The part of an operation's context in which its direct results are passed to the transport. */
export interface DirectContext {
  /** The same results as those of the stream that `subscribe` returns, if they can be read directly. */
  direct?: DirectResults;
}

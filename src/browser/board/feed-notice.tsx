import { formatInstant } from './format.ts';
import type { FeedState, Phase } from './task-feed.ts';

const WORDS: Record<Phase, string> = {
  loading: 'Loading…',
  live: 'Live',
  stale: 'Not live',
  finished: 'Complete: all tasks of this range have ended',
  unauthenticated: 'A token is needed',
  refused: 'Refused',
};

/** Whether what is shown is live, and if not, why and since when. */
export function FeedNotice({ state, onRetry }: { state: FeedState; onRetry(): void }) {
  const { phase, message, liveUntil } = state;
  const isInterrupted = phase === 'stale' || phase === 'refused';
  return (
    <div class="feed" data-phase={phase} role="status">
      <span class="dot" aria-hidden="true" />
      <span class="phase">{WORDS[phase]}</span>
      {(isInterrupted || phase === 'unauthenticated') && liveUntil !== null && (
        <span>
          The list is as of {formatInstant(liveUntil)}.{phase === 'stale' && ' Connecting again…'}
        </span>
      )}
      {isInterrupted && message !== null && (
        <span class="reason">
          <bdi>{message}</bdi>
        </span>
      )}
      {isInterrupted && (
        <button type="button" onClick={onRetry}>
          Try again now
        </button>
      )}
    </div>
  );
}

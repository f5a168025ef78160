import { useState } from 'preact/hooks';
import { CLEAR_TASK } from './documents.ts';
import { toWords } from './format.ts';
import { type GatewayClient, OperationError } from './gateway-client.ts';

const OUTCOMES = ['TERMINATED', 'ERROR', 'WARNING', 'SUCCESS', 'TEMPERROR'];

/** Clears a task that is still pending or running upstream: edits its record, and does no more. */
export function ClearForm({ client, id }: { client: GatewayClient; id: string }) {
  const [outcome, setOutcome] = useState('TERMINATED');
  const [isSending, setSending] = useState(false);
  const [error, setError] = useState<string | null>(null);

  async function clear() {
    setSending(true);
    setError(null);
    try {
      await client.query(CLEAR_TASK, { input: { id, completionStatus: outcome } });
    } catch (cause) {
      setError(cause instanceof OperationError ? cause.message : 'The task was not cleared.');
    } finally {
      setSending(false);
    }
  }

  return (
    <details class="clear">
      <summary>Clear this task…</summary>
      <form
        aria-label="Clear this task"
        onSubmit={event => {
          event.preventDefault();
          void clear();
        }}
      >
        <p>
          This edits the task’s record: it sets its completion status, and now as its end.{' '}
          <strong>It does not stop the job.</strong> Work that the tenant is doing for this task
          goes on, and no change is undone.
        </p>
        <label>
          Completion status
          <select value={outcome} onChange={event => setOutcome(event.currentTarget.value)}>
            {OUTCOMES.map(value => (
              <option key={value} value={value}>
                {toWords(value)}
              </option>
            ))}
          </select>
        </label>
        <button type="submit" disabled={isSending}>
          Clear the record
        </button>
        {error !== null && (
          <p role="alert" class="error">
            <bdi>{error}</bdi>
          </p>
        )}
      </form>
    </details>
  );
}

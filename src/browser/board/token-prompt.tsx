import { useId, useRef } from 'preact/hooks';

interface TokenPromptProps {
  /** What the gateway said. */
  reason: string | null;
  onToken(token: string): void;
}

/** Asks for a bearer token. The token leaves this form for the memory of the page only. */
export function TokenPrompt({ reason, onToken }: TokenPromptProps) {
  const input = useRef<HTMLInputElement>(null);
  const hint = useId();
  return (
    <form
      class="token"
      aria-label="Access token"
      onSubmit={event => {
        event.preventDefault();
        const token = input.current?.value.trim().replace(/^bearer\s+/i, '') ?? '';
        if (token !== '') onToken(token);
      }}
    >
      <label>
        Access token
        <input
          ref={input}
          type="password"
          autoComplete="off"
          spellcheck={false}
          required
          aria-describedby={hint}
        />
      </label>
      <button type="submit">Show tasks</button>
      {reason !== null && (
        <p>
          <bdi>{reason}</bdi>
        </p>
      )}
      <p id={hint}>The token is kept in this page’s memory and is gone after a reload.</p>
    </form>
  );
}

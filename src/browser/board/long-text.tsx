import { useState } from 'preact/hooks';

const MAX_CHARACTERS = 2_000;

/** Text of upstream in full, a long one only on request. Its direction is its own. */
export function LongText({ text }: { text: string }) {
  const [isWhole, setWhole] = useState(false);
  const isLong = text.length > MAX_CHARACTERS;
  return (
    <>
      <bdi class="text">{isLong && !isWhole ? `${text.slice(0, MAX_CHARACTERS)}…` : text}</bdi>
      {isLong && (
        <button type="button" class="more" onClick={() => setWhole(!isWhole)}>
          {isWhole ? 'Show less' : `Show all ${text.length.toLocaleString()} characters`}
        </button>
      )}
    </>
  );
}

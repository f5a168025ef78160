import { useState } from 'preact/hooks';
import { formatNumber } from './format.ts';
import { LongText } from './long-text.tsx';

export interface Pair {
  label: string;
  value: string;
  /** What the label stands for upstream. */
  title?: string;
}

const STEP = 100;

/** Labels and values. Of many, the first; the others a step at a time. */
export function Pairs({ pairs, emptyText }: { pairs: readonly Pair[]; emptyText: string }) {
  const [count, setCount] = useState(STEP);
  if (pairs.length === 0) return <p class="none">{emptyText}</p>;
  return (
    <>
      <dl class="pairs">
        {pairs.slice(0, count).map(({ label, value, title }, place) => (
          <div key={place}>
            <dt title={title}>
              <LongText text={label} />
            </dt>
            <dd>
              <LongText text={value} />
            </dd>
          </div>
        ))}
      </dl>
      {pairs.length > count && (
        <button type="button" class="more" onClick={() => setCount(count + STEP)}>
          Show {formatNumber(Math.min(STEP, pairs.length - count))} more of{' '}
          {formatNumber(pairs.length)}
        </button>
      )}
    </>
  );
}

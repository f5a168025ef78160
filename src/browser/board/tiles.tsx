import { formatNumber } from './format.ts';
import { type TaskCounts, countOf } from './task.ts';

interface TilesProps {
  counts: TaskCounts | null;
  /** The status in the filter; empty for all. */
  status: string;
  onChoose(status: string): void;
}

const TILES = [
  { status: '', label: 'All' },
  { status: 'RUNNING', label: 'Running' },
  { status: 'SUCCESS', label: 'Success' },
  { status: 'WARNING', label: 'Warning' },
  { status: 'ERROR', label: 'Error' },
  { status: 'TERMINATED', label: 'Terminated' },
  { status: 'TEMPERROR', label: 'Temporary error' },
] as const;

/**
 * How many tasks there are of each status, under the other filters. A tile filters by its status.
 */
export function Tiles({ counts, status, onChoose }: TilesProps) {
  return (
    <nav class="tiles" aria-label="Filter by status">
      {TILES.map(tile => {
        const number = countOf(counts, tile.status);
        return (
          <button
            key={tile.status}
            type="button"
            class="tile"
            data-status={tile.status}
            aria-pressed={status === tile.status}
            onClick={() => onChoose(tile.status)}
          >
            <span class="number">{number === null ? '–' : formatNumber(number)}</span>{' '}
            <span class="label">{tile.label}</span>
          </button>
        );
      })}
    </nav>
  );
}

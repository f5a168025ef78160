import { formatNumber } from './format.ts';
import type { TaskCounts } from './task.ts';

interface TilesProps {
  counts: TaskCounts | null;
  /** The status in the filter; empty for all. */
  status: string;
  onChoose(status: string): void;
}

const TILES = [
  { status: '', label: 'All', count: 'total' },
  { status: 'RUNNING', label: 'Running', count: 'running' },
  { status: 'SUCCESS', label: 'Success', count: 'success' },
  { status: 'WARNING', label: 'Warning', count: 'warning' },
  { status: 'ERROR', label: 'Error', count: 'error' },
  { status: 'TERMINATED', label: 'Terminated', count: 'terminated' },
  { status: 'TEMPERROR', label: 'Temporary error', count: 'tempError' },
] as const;

/** How many tasks there are of each status, under the other filters. A tile filters by its status. */
export function Tiles({ counts, status, onChoose }: TilesProps) {
  return (
    <nav class="tiles" aria-label="Filter by status">
      {TILES.map(tile => {
        const number = counts?.[tile.count] ?? null;
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

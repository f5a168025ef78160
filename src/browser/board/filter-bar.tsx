import { type Filters, KINDS, NO_FILTERS, PERIODS } from './filters.ts';
import { toWords } from './format.ts';

interface FilterBarProps {
  filters: Filters;
  /** The sources of the tasks shown: name by id. */
  sources: ReadonlyMap<string, string>;
  /** The launchers of the tasks shown. */
  launchers: ReadonlySet<string>;
  onChange(filters: Filters): void;
}

/** The filters besides the status, which the tiles set. */
export function FilterBar({ filters, sources, launchers, onChange }: FilterBarProps) {
  const set = (change: Partial<Filters>) => onChange({ ...filters, ...change });
  // A source that is in the URL, but not among the tasks that are shown.
  const options = new Map(sources);
  if (filters.source !== '' && !options.has(filters.source))
    options.set(filters.source, filters.source);
  const isFiltered = Object.entries(NO_FILTERS).some(
    ([name, value]) => filters[name as keyof Filters] !== value,
  );
  return (
    <form class="filters" aria-label="Filters" onSubmit={event => event.preventDefault()}>
      <label>
        Source
        <select
          value={filters.source}
          onChange={event => set({ source: event.currentTarget.value })}
        >
          <option value="">All sources</option>
          {[...options].map(([id, name]) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        Kind
        <select value={filters.kind} onChange={event => set({ kind: event.currentTarget.value })}>
          <option value="">All kinds</option>
          {(filters.kind === '' || KINDS.includes(filters.kind)
            ? KINDS
            : [...KINDS, filters.kind]
          ).map(kind => (
            <option key={kind} value={kind}>
              {toWords(kind)}
            </option>
          ))}
        </select>
      </label>
      <label>
        Launcher
        <input
          type="text"
          list="launchers"
          placeholder="Anyone"
          value={filters.launcher}
          onChange={event => set({ launcher: event.currentTarget.value.trim() })}
        />
        <datalist id="launchers">
          {[...launchers].map(name => (
            <option key={name} value={name} />
          ))}
        </datalist>
      </label>
      <label>
        Created
        <select
          value={filters.period}
          onChange={event => set({ period: event.currentTarget.value })}
        >
          {Object.entries(PERIODS).map(([period, { label }]) => (
            <option key={period} value={period}>
              {label}
            </option>
          ))}
          <option value="range">From … to …</option>
        </select>
      </label>
      {filters.period === 'range' && (
        <>
          <label>
            From
            <input
              type="datetime-local"
              value={toLocal(filters.from)}
              onChange={event => set({ from: toInstant(event.currentTarget.value) })}
            />
          </label>
          <label>
            To
            <input
              type="datetime-local"
              value={toLocal(filters.to)}
              onChange={event => set({ to: toInstant(event.currentTarget.value) })}
            />
          </label>
        </>
      )}
      {isFiltered && (
        <button type="button" onClick={() => onChange(NO_FILTERS)}>
          Reset filters
        </button>
      )}
    </form>
  );
}

/** The format of the input, which has no time zone. */
function toLocal(instant: string): string {
  if (instant === '') return '';
  const date = new Date(instant);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function toInstant(local: string): string {
  return local === '' ? '' : new Date(local).toISOString();
}

/** One series of a scrape. */
export interface Sample {
  /** With the suffix of a histogram's parts, such as `_bucket`. */
  name: string;
  labels: Readonly<Record<string, string>>;
  value: number;
}

/** What `/metrics` answered. */
export interface Scrape {
  /** Type by name of metric. */
  types: ReadonlyMap<string, string>;
  samples: readonly Sample[];
}

export async function scrape(url: string): Promise<Scrape> {
  const response = await fetch(url);
  if (response.status !== 200) throw new Error(`status ${response.status}`);
  return readExposition(await response.text());
}

/** Reads Prometheus' text format, as far as prom-client writes it. */
export function readExposition(text: string): Scrape {
  const types = new Map<string, string>();
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    const [, named, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (named !== undefined && type !== undefined) types.set(named, type);
    if (line === '' || line.startsWith('#')) continue;
    const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) throw new Error(`no line of the format: ${line}`);
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    samples.push({
      name,
      labels: Object.fromEntries(pairs.map(([, label = '', text = '']) => [label, text])),
      value: Number(value),
    });
  }
  return { types, samples };
}

/** The sum of all series of a name that have these labels; of a histogram, its count. */
export function sumOf(
  { types, samples }: Scrape,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  const series = types.get(name) === 'histogram' ? `${name}_count` : name;
  return samples
    .filter(sample => sample.name === series)
    .filter(sample =>
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
    )
    .reduce((sum, { value }) => sum + value, 0);
}

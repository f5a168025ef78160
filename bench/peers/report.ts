/** One server under one workload for a moment. */
export interface Sample {
  server: string;
  workload: string;
  connections: number;
  round: number;
  /** Processor milliseconds of the server per operation. */
  cpuMs: number;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  rssMb: number;
  /** Per operation. */
  upstreamRequests: number;
}

/** The middle, least and greatest of some figures. */
export interface Spread {
  median: number;
  least: number;
  most: number;
}

/** What all rounds of one server, workload and number of connections come to. */
export interface Row {
  workload: string;
  connections: number;
  server: string;
  /** Processor time per operation, as a multiple of the floor's in the same round. */
  cpuOfFloor: Spread;
  cpuMs: Spread;
  perSecond: Spread;
  p50Ms: Spread;
  p99Ms: Spread;
  /** As a multiple of the floor's. */
  p99OfFloor: Spread;
  rssMb: Spread;
  upstreamRequests: Spread;
}

/** One row per workload, number of connections and server, in the order of the samples. */
export function summarize(samples: readonly Sample[]): Row[] {
  const floors = new Map(
    samples.filter(({ server }) => server === 'floor').map(floor => [keyOf(floor), floor]),
  );
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    const key = `${sample.workload} ${sample.connections} ${sample.server}`;
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  return [...groups.values()].map(group => {
    const { workload, connections, server } = group[0]!;
    const spread = (valueOf: (sample: Sample, floor: Sample) => number) =>
      spreadOf(group.map(sample => valueOf(sample, floors.get(keyOf(sample))!)));
    return {
      workload,
      connections,
      server,
      cpuOfFloor: spread(({ cpuMs }, floor) => cpuMs / floor.cpuMs),
      cpuMs: spread(({ cpuMs }) => cpuMs),
      perSecond: spread(({ perSecond }) => perSecond),
      p50Ms: spread(({ p50Ms }) => p50Ms),
      p99Ms: spread(({ p99Ms }) => p99Ms),
      p99OfFloor: spread(({ p99Ms }, floor) => p99Ms / floor.p99Ms),
      rssMb: spread(({ rssMb }) => rssMb),
      upstreamRequests: spread(({ upstreamRequests }) => upstreamRequests),
    };
  });
}

/** A table per workload. */
export function toMarkdown(rows: readonly Row[]): string {
  const workloads = [...new Set(rows.map(({ workload }) => workload))];
  return workloads
    .map(workload => {
      const lines = rows.filter(row => row.workload === workload).map(toLine);
      return `### ${workload}\n\n${HEAD}\n${lines.join('\n')}\n\n`;
    })
    .join('');
}

const HEAD = `| connections | server | CPU / floor's | CPU, ms | a second | p50, ms | p99, ms | RSS, MB | upstream requests |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |`;

function toLine(row: Row): string {
  const { median, least, most } = row.cpuOfFloor;
  const cells = [
    row.connections,
    row.server,
    `${median.toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`,
    row.cpuMs.median.toFixed(3),
    Math.round(row.perSecond.median),
    row.p50Ms.median.toFixed(1),
    row.p99Ms.median.toFixed(1),
    Math.round(row.rssMb.most),
    row.upstreamRequests.median.toFixed(3),
  ];
  return `| ${cells.join(' | ')} |`;
}

function keyOf({ workload, connections, round }: Sample): string {
  return `${workload} ${connections} ${round}`;
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return { median: sorted[sorted.length >> 1]!, least: sorted[0]!, most: sorted.at(-1)! };
}

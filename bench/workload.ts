/** One run's figure, and what else was measured in it. */
export type Sample = { readonly value: number; readonly extra?: Readonly<Record<string, number>> };

/** Who takes part: the service, another product, or what the hardware allows at most. */
export type Entrant = {
  readonly name: string;
  readonly role: "callsheet" | "peer" | "limit";
  /** One run, on fresh servers. */
  run(): Promise<Sample>;
};

export type Workload = {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** What is not the same between those who take part. */
  readonly note: string;
  readonly entrants: readonly Entrant[];
};

export type Sizes = {
  readonly contacts: number;
  /** The peers enqueue fewer, since they would take minutes; what counts is how many a second. */
  readonly peerContacts: number;
  readonly dueAtOnce: number;
  readonly spaced: number;
  readonly dispatched: number;
  readonly seconds: number;
};

export type Result = Omit<Workload, "entrants"> & {
  /** When, on what, how often. */
  readonly circumstances: string;
  readonly rows: readonly {
    readonly name: string;
    readonly role: Entrant["role"];
    readonly values: readonly number[];
    /** The median of each. */
    readonly extra: Readonly<Record<string, number>>;
  }[];
};

export const median = (values: readonly number[]): number => at(values, 0.5);

/** The value below which this share of them lies. */
export function at(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/**
 * Runs those who take part in turn, so that what else the machine does strikes all alike. Who fails in every run is left
 * out; that it did is said.
 */
export async function runWorkload(
  { entrants, ...workload }: Workload,
  runs: number,
  say: (line: string) => void,
): Promise<Omit<Result, "circumstances">> {
  const samples = entrants.map((): Sample[] => []);
  for (let turn = 1; turn <= runs; turn += 1) {
    for (const [i, entrant] of entrants.entries()) {
      try {
        const sample = await entrant.run();
        samples[i]?.push(sample);
        const value = Math.round(sample.value * 10) / 10;
        say(`${workload.name} ${turn}/${runs} ${entrant.name}: ${value} ${workload.unit}`);
      } catch (error) {
        say(`${workload.name} ${turn}/${runs} ${entrant.name} failed: ${String(error)}`);
      }
    }
  }
  const rows = entrants.map(({ name, role }, i) => {
    const own = samples[i] ?? [];
    const keys = [...new Set(own.flatMap(({ extra = {} }) => Object.keys(extra)))];
    return {
      name,
      role,
      values: own.map(({ value }) => value),
      extra: Object.fromEntries(
        keys.map((key) => [key, median(own.map(({ extra }) => extra?.[key] ?? Number.NaN))]),
      ),
    };
  });
  return { ...workload, rows: rows.filter(({ values }) => values.length > 0) };
}

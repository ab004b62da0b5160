/** One run's figure, and what else was measured in it. */
export type Sample = {
  readonly value: number;
  readonly extra?: Readonly<Record<string, number>>;
  /** What the same run gave for other figures of its workload, by their names. */
  readonly also?: Readonly<Record<string, Omit<Sample, "also">>>;
};

/** Who takes part: the service, another product, or what the hardware allows at most. */
export type Entrant = {
  /** Says the sizes of its batches, and how many of them are in hand. */
  readonly name: string;
  readonly role: "callsheet" | "peer" | "limit";
  /** The figure that its value is one of; that of the workload if not given. */
  readonly figure?: string;
  /** One run, on fresh servers. */
  run(): Promise<Sample>;
};

/** What is compared: a table, and bars. */
export type Figure = {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** What is not the same between those who take part. */
  readonly note: string;
};

export type Workload = Figure & {
  /** Further figures that its runs give. */
  readonly also?: readonly Figure[];
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

export type Row = {
  readonly name: string;
  readonly role: Entrant["role"];
  /** Of each run that gave one. */
  readonly values: readonly number[];
  /** How many runs gave none. */
  readonly failed: number;
  /** Before or in how many runs something else had a part of the machine. */
  readonly disturbed: number;
  /** The median of each. */
  readonly extra: Readonly<Record<string, number>>;
};

export type Result = Figure & {
  /** When, on what, how often. */
  readonly circumstances: string;
  readonly rows: readonly Row[];
};

export const median = (values: readonly number[]): number => at(values, 0.5);

/** The value below which this share of them lies. */
export function at(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** What became of one run of one who takes part. */
export type Outcome = { readonly sample: Sample | undefined; readonly isDisturbed: boolean };

/** Those who take part with what became of each of their runs; a row in each figure that they gave values for. */
export function toResults(
  { entrants, also = [], ...own }: Workload,
  outcomes: readonly (readonly Outcome[])[],
): Omit<Result, "circumstances">[] {
  return [own, ...also].map((figure) => ({
    ...figure,
    rows: entrants.flatMap((entrant, i): Row[] => {
      const home = entrant.figure ?? own.name;
      const runs = outcomes[i] ?? [];
      const samples = runs.flatMap(({ sample }) =>
        sample === undefined ? [] : figure.name === home ? sample : (sample.also?.[figure.name] ?? []),
      );
      // Who failed in every run stands where its own value would.
      if (samples.length === 0 && figure.name !== home) return [];
      const keys = [...new Set(samples.flatMap(({ extra = {} }) => Object.keys(extra)))];
      return [
        {
          name: entrant.name,
          role: entrant.role,
          values: samples.map(({ value }) => value),
          failed: runs.length - samples.length,
          disturbed: runs.filter(({ isDisturbed }) => isDisturbed).length,
          extra: Object.fromEntries(
            keys.map((key) => [key, median(samples.flatMap(({ extra }) => extra?.[key] ?? []))]),
          ),
        },
      ];
    }),
  }));
}

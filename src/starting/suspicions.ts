/** Commands finish their Redis half well within this time; what looks wrong for less is not for the sweep. */
export const settledMs = 2_000;

/** What looked wrong in the last pass, and since when by this replica's own clock: a stored time may lie ahead. */
export function createSuspicions() {
  let before = new Map<string, number>();
  let now = new Map<string, number>();
  return {
    /** Notes that a pass finds this so; answers for how long every pass has, undefined if this is the first one. */
    ageMs(mark: string): number | undefined {
      const since = before.get(mark);
      now.set(mark, since ?? performance.now());
      return since === undefined ? undefined : performance.now() - since;
    },
    /** Begins a pass: what the one before did not find is forgotten. */
    begin(): void {
      [before, now] = [now, new Map()];
    },
  };
}

type Span = { leased_at: Date; ended_at: Date | null };
type Attempt = Span & { job_id: string; number: number; attempt: number };

/**
 * The attempts that began before the one before them, of the same contact, had ended. In order of number and attempt.
 */
export function overlaps<T extends Attempt>(attempts: readonly T[]): T[] {
  const byContact = Map.groupBy(attempts, ({ job_id, number }) => `${job_id} ${number}`);
  return [...byContact.values()].flatMap((own) =>
    own.filter((attempt, i) => {
      const before = own[i - 1];
      return before !== undefined && (before.ended_at === null || before.ended_at > attempt.leased_at);
    }),
  );
}

/** How many of the attempts went on at the same time, at most. One that ends makes room for one that begins then. */
export function mostAtOnce(attempts: readonly Span[]): number {
  const edges = attempts.flatMap(({ leased_at, ended_at }) => [
    { at: leased_at.getTime(), by: 1 },
    { at: ended_at?.getTime() ?? Infinity, by: -1 },
  ]);
  let now = 0;
  let most = 0;
  for (const { by } of edges.toSorted((a, b) => a.at - b.at || a.by - b.by)) {
    now += by;
    most = Math.max(most, now);
  }
  return most;
}

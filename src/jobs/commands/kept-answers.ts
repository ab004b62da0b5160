/*
 * Answers are kept for a day, and both the version before and the version after this one may have to read them. So they
 * call the instant of a start `dueMs`, as they always have; everything else calls it `scheduledStartTimeMs`.
 */

type Kept = { readonly dueMs: number | null };
type Told<A extends Kept> = Omit<A, "dueMs"> & { readonly scheduledStartTimeMs: A["dueMs"] };

/** The answer for whoever gave the command. */
export function toldAnswer<A extends Kept>({ dueMs, ...answer }: A): Told<A> {
  return { ...answer, scheduledStartTimeMs: dueMs };
}

import type { Candidate, OpenSet } from "../postgres/leasing/candidates.ts";

/** What is taken of a job, in one of its sets of time zones. */
export type Taken = {
  candidate: Candidate;
  zoneSet: number;
  due: number;
  fromList: number;
  numbers: number[];
};

/** What a set of a job may give yet, and how much of it is taken. */
export type Part = { readonly candidate: Candidate; readonly set: OpenSet; due: number; fromList: number };

/** Shares so many contacts out among sets of a job: retries first, then those whose set closes first. */
export function allot(parts: readonly Part[], count: number): void {
  let left = count;
  for (const part of parts) {
    part.due = Math.min(part.set.due, left);
    left -= part.due;
  }
  for (const part of parts) {
    part.fromList = Math.min(part.set.pending, left);
    left -= part.fromList;
  }
}

export const partsOf = (candidate: Candidate): Part[] =>
  (candidate.sets ?? [{ zoneSet: 0, pending: candidate.pending, due: candidate.due }]).map((set) => ({
    candidate,
    set,
    due: 0,
    fromList: 0,
  }));

/** Of jobs of which a list had less than was known, what others of their sets may give instead. */
export function inTheirPlace(parts: readonly Part[], taken: readonly Taken[]): Part[] {
  const missing = new Map<Candidate, number>();
  for (const { candidate, fromList, numbers } of taken) {
    missing.set(candidate, (missing.get(candidate) ?? 0) + fromList - numbers.length);
  }
  return [...missing].flatMap(([candidate, count]) => {
    if (count === 0 || candidate.sets === null) return [];
    const unasked = parts
      .filter((part) => part.candidate === candidate && part.due + part.fromList === 0)
      .map((part) => ({ ...part, set: { ...part.set, due: 0 } }));
    allot(unasked, count);
    return unasked.filter(({ fromList }) => fromList > 0);
  });
}

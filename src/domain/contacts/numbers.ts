/**
 * Some of a job's contacts: each number, in ascending order, or the first one where it and those that follow it are
 * all.
 */
export type Numbers = readonly number[] | { readonly first: number; readonly count: number };

/** Some of a job's contacts that are in this set of its time zones. */
export type NumbersInSet = { readonly zoneSet: number; readonly numbers: Numbers };

export const countOf = (numbers: Numbers): number => ("count" in numbers ? numbers.count : numbers.length);

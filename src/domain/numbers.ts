/** Some of a job's contacts: each number, or the first one where it and those that follow it are all. */
export type Numbers = readonly string[] | { readonly first: number; readonly count: number };

/**
 * What an answer holds at most, in its binary encoding: stock gRPC clients take 4 MiB. A list ends its page before an
 * entry that would not fit any more; one entry always fits.
 */
export const largestAnswerBytes = 2 * 1024 * 1024;

/** What is around the entries of a list: its page token. */
const aroundEntries = 1_024;

/** What the entries of a list may take together. */
export const largestListBytes = largestAnswerBytes - aroundEntries;

/** The first of the entries, as many as fit into one answer. */
export function fitting<T>(entries: readonly T[], bytesOf: (entry: T) => number): T[] {
  let bytes = 0;
  const end = entries.findIndex((entry) => (bytes += bytesOf(entry)) > largestListBytes);
  return end === -1 ? [...entries] : entries.slice(0, end);
}

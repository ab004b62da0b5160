const defaultPageSize = 50;
const largestPageSize = 1_000;

/** How many entries a page may have for which so many were asked. */
export const pageSizeOf = (asked: number): number =>
  asked === 0 ? defaultPageSize : Math.min(asked, largestPageSize);

/** What a run has time for: as much as CI has, or with FAULTS=full (`npm run test:faults`) all that is promised. */
export const sized = <T>(short: T, full: T): T => (process.env["FAULTS"] === "full" ? full : short);

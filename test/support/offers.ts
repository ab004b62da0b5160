import type { Offer } from "../../src/postgres/leasing/leases.ts";

/** What a job may give whose contacts are all in set 0. */
export const offerOf = (jobId: string, numbers: readonly number[], due = 0): Offer => ({
  jobId,
  zoneSet: 0,
  zoneSets: 0,
  due,
  numbers,
});

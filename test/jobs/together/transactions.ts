import { createBatchJobs } from "../../../src/jobs/batch-jobs.ts";
import type { Database } from "../../../src/postgres/connections/database.ts";
import type { Parts } from "../../support/parts.ts";

/** The commands of these parts, and for each transaction that they began whose it was. */
export function watched(parts: Parts): { jobs: Parts["jobs"]; begun: number[] } {
  const begun: number[] = [];
  const of = (organizationId: number): Database =>
    new Proxy(parts.db, {
      get(db, name) {
        if (name === "transaction") begun.push(organizationId);
        const value: unknown = Reflect.get(db, name, db);
        return typeof value === "function" ? value.bind(db) : value;
      },
    });
  return { jobs: createBatchJobs({ ...parts, shares: { ...parts.shares, of } }), begun };
}

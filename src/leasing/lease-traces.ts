import type { Logger } from "pino";
import { writeJobKey } from "../domain/jobs/job-id.ts";
import type { CallTrace } from "../domain/call-trace.ts";
import type { Database } from "../postgres/connections/database.ts";
import { readTraces } from "../postgres/leasing/traces.ts";
import { createRecent } from "../timing/recent.ts";

/** About 2 MB. */
const mostKept = 10_000;

/** Says of a call that it follows from the starts of the jobs whose contacts it leases. It fails nothing. */
export type FollowStarts = (
  trace: CallTrace,
  organizationId: number,
  jobIds: Iterable<string>,
) => Promise<void>;

/** What a job went on from when it was started stays so: it is read once. */
export function createLeaseTraces(db: Database, logger: Logger): FollowStarts {
  const kept = createRecent<string, { traceparent: string | undefined }>(mostKept);

  return async function followStarts(trace, organizationId, jobIds) {
    const nameOf = (id: string) => writeJobKey({ organizationId, id });
    const ids = [...new Set(jobIds)];
    try {
      const unknown = ids.filter((id) => kept.get(nameOf(id)) === undefined);
      if (unknown.length > 0) {
        const found = await readTraces(db, organizationId, unknown);
        for (const id of unknown) kept.set(nameOf(id), { traceparent: found.get(id) });
      }
      for (const id of ids) {
        const traceparent = kept.get(nameOf(id))?.traceparent;
        if (traceparent !== undefined) trace.follows(traceparent);
      }
    } catch (error) {
      logger.warn({ err: error }, "contacts are leased without a link to the starts of their jobs");
    }
  };
}

import { BatchJobError } from "../../domain/batch-job-error.ts";
import type { Caller } from "../../domain/caller.ts";
import { isUuid } from "../../domain/jobs/job-id.ts";
import { findJob } from "../../postgres/jobs/batch-jobs.ts";
import type { Shares } from "../../postgres/connections/connections.ts";
import { lastPart, nextPart } from "../../postgres/contacts/rejected-rows.ts";

/** The rows that an import rejected, as one file of CSV in pieces; whole once it came to its end without an error. */
export type ExportRejectedRows = (
  request: { readonly caller: Caller; readonly batchJobId: string; readonly importId: string },
  signal: AbortSignal,
) => AsyncGenerator<Uint8Array>;

const notKept = (batchJobId: string) =>
  new BatchJobError(
    "import_not_found",
    "No rejected rows of this import are kept: it had none, or they are older than 24 hours; import its file again.",
    { batchJobId },
  );

/** Each piece is read by itself: whoever takes it slowly holds nothing meanwhile. */
export function createRejectedRowsExport({ reads }: { reads: Shares }): ExportRejectedRows {
  return async function* exportRejectedRows({ caller, batchJobId, importId }, signal) {
    const { organizationId } = caller;
    const db = reads.of(organizationId);
    const { id: jobId } = await findJob(db, organizationId, batchJobId);
    const file = { organizationId, jobId, importId };
    const last = isUuid(importId) ? await lastPart(db, file) : undefined;
    if (last === undefined) throw notKept(batchJobId);
    for (let at = -1; at < last;) {
      signal.throwIfAborted();
      const next = await nextPart(db, file, at);
      if (next === undefined) throw notKept(batchJobId);
      yield Buffer.from(next.csv);
      at = next.part;
    }
  };
}

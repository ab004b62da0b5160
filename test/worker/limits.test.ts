import { expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import {
  ReportedOutcomeSchema,
  ExtendLeasesRequestSchema,
  LeaseContactsRequestSchema,
  ReportOutcomesRequestSchema,
} from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { boundsOf } from "../../src/rpc/requests/rules.ts";
import { toReport } from "../../src/worker/call-result.ts";
import { mostAtOnce } from "../../src/worker/kept-leases.ts";

/*
 * The worker's library is installed without the validation's, by which the service reads its limits from the proto. So
 * it has them in its own code.
 */

test("a worker asks for as many at once as the proto lets pass, and no more", () => {
  const bounds = [
    LeaseContactsRequestSchema.field.maxContacts,
    ExtendLeasesRequestSchema.field.leaseIds,
    ReportOutcomesRequestSchema.field.outcomes,
  ].map(boundsOf);
  expect(bounds.map(({ most }) => most)).toEqual([mostAtOnce, mostAtOnce, mostAtOnce]);
});

test.each(["errorCode", "failureReason", "providerCallId"] as const)(
  "a worker cuts a result's %s to what the proto lets pass",
  (field) => {
    const report = toReport(
      { leaseId: "lease", traceparent: "" },
      { outcome: Outcome.FAILED, [field]: "x".repeat(5_000) },
    );
    expect(report[field]).toHaveLength(boundsOf(ReportedOutcomeSchema.field[field]).most);
  },
);

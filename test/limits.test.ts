import type { DescField } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { mostIds } from "../src/console/data/stream/limits.ts";
import { mostExceptions, mostWindows, mostWindowsOfException } from "../src/domain/time/hours-input.ts";
import { WatchBatchJobsRequestSchema } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { CallingExceptionSchema, CallingHoursSchema } from "../src/gen/callsheet/v1/calling_hours_pb.ts";
import { LeaseContactsRequestSchema } from "../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { mostContacts } from "../src/leasing/lease-round.ts";
import { boundsOf } from "../src/rpc/requests/rules.ts";

/*
 * Limits are read from the proto. What does not know of it has some in its own code: the page, which is installed
 * without the validation's library, and what lies below the RPCs.
 */

test.each<[what: string, ours: number, field: DescField]>([
  ["jobs of one stream of the console", mostIds, WatchBatchJobsRequestSchema.field.batchJobIds],
  ["windows of calling hours", mostWindows, CallingHoursSchema.field.windows],
  ["exceptions of calling hours", mostExceptions, CallingHoursSchema.field.exceptions],
  ["windows of such an exception", mostWindowsOfException, CallingExceptionSchema.field.windows],
  ["contacts of a round of leases", mostContacts, LeaseContactsRequestSchema.field.maxContacts],
])("the most %s are those that the proto lets pass", (_, ours, field) => {
  expect(ours).toBe(boundsOf(field).most);
});

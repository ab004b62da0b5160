import { type DescField, getOption } from "@bufbuild/protobuf";
import { field as fieldRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { describe, expect, test } from "vitest";
import { settingOptions } from "../src/access/organizations.ts";
import { mostIds } from "../src/console/data/stream/limits.ts";
import { mostPerSecond } from "../src/domain/rates.ts";
import {
  mostCloseEarlyMs,
  mostExceptions,
  mostWindows,
  mostWindowsOfException,
} from "../src/domain/time/hours-input.ts";
import { OrganizationSettingsSchema } from "../src/gen/callsheet/v1/access_service_pb.ts";
import { WatchBatchJobsRequestSchema } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { CallingExceptionSchema, CallingHoursSchema } from "../src/gen/callsheet/v1/calling_hours_pb.ts";
import {
  LeaseContactsRequestSchema,
  ReportedOutcomeSchema,
} from "../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { mostContacts } from "../src/leasing/lease-round.ts";
import { CreateWebhookEndpointRequestSchema } from "../src/gen/callsheet/v1/webhook_service_pb.ts";
import { boundsOf } from "../src/rpc/requests/rules.ts";
import { mostCharacters } from "../src/webhooks/endpoint-url.ts";
import { longestCallMs } from "../src/worker/call-result.ts";

/*
 * Limits are read from the proto. What does not know of it has some in its own code: the page, which is installed
 * without the validation's library, and what lies below the RPCs.
 */

test.each<[what: string, ours: number, field: DescField]>([
  ["jobs of one stream of the console", mostIds, WatchBatchJobsRequestSchema.field.batchJobIds],
  ["windows of calling hours", mostWindows, CallingHoursSchema.field.windows],
  ["exceptions of calling hours", mostExceptions, CallingHoursSchema.field.exceptions],
  ["windows of such an exception", mostWindowsOfException, CallingExceptionSchema.field.windows],
  ["calls of a rate", mostPerSecond, OrganizationSettingsSchema.field.rateRead],
  ["characters of a webhook's URL", mostCharacters, CreateWebhookEndpointRequestSchema.field.url],
  ["contacts of a round of leases", mostContacts, LeaseContactsRequestSchema.field.maxContacts],
])("the most %s are those that the proto lets pass", (_, ours, field) => {
  expect(ours).toBe(boundsOf(field).most);
});

test.each<[what: string, oursMs: number, field: DescField]>([
  ["a window closes early", mostCloseEarlyMs, CallingHoursSchema.field.closeEarly],
  ["a call may be reported to have taken", longestCallMs, ReportedOutcomeSchema.field.callDuration],
])("the longest time that %s is that which the proto lets pass", (_, oursMs, field) => {
  const { type } = getOption(field, fieldRules);
  expect(type).toMatchObject({
    case: "duration",
    value: { lessThan: { value: { seconds: BigInt(oursMs / 1_000) } } },
  });
});

describe("the settings of an organization", () => {
  test.each(Object.entries(settingOptions))("%s has the bounds of the proto", (setting, { least, most }) => {
    const field = OrganizationSettingsSchema.field[setting as keyof typeof settingOptions];
    expect({ least, most }).toEqual(boundsOf(field));
  });
});

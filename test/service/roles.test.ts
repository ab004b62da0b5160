import { type JsonObject, getOption } from "@bufbuild/protobuf";
import { afterAll, describe, expect, test } from "vitest";
import { roles } from "../../src/domain/caller.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { Role, roles as rolesOption } from "../../src/gen/callsheet/v1/options_pb.ts";
import { makeApiKey } from "../support/api-key.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { type Method, answered, bothListeners, callerFor } from "./callers.ts";
import { allRows, refusedAs } from "./refused.ts";

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const methods = BatchJobService.methods
  .filter((method) => method.methodKind === "unary")
  .map((method) => method.localName as Method);
const jobMethods = methods.filter(
  (method) =>
    ![
      "createBatchJob",
      "listBatchJobs",
      "countBatchJobs",
      "findContacts",
      "eraseContacts",
      "readStartTime",
    ].includes(method),
);
const aJob = { name: "Spring campaign", fromPhoneNumberId: "pn_1", contacts: makeContacts(2) };

/** The roles that the proto gives to a method. */
const rolesOf = (method: Method) => {
  const option = getOption(BatchJobService.method[method], rolesOption);
  return roles.filter(
    (role) => role === "admin" || option.includes(Role[role.toUpperCase() as keyof typeof Role]),
  );
};

const keys = Object.fromEntries(
  await Promise.all(roles.map(async (role) => [role, (await makeApiKey(db, { role })).key] as const)),
);
const portsOf = (role: string) => ({ ...service, apiKey: keys[role] ?? "" });

test.each(BatchJobService.methods)("$name declares its roles in the proto", (method) => {
  expect(getOption(method, rolesOption)).not.toEqual([]);
});

const allowed = methods.flatMap((method) => rolesOf(method).map((role) => [role, method] as const));
const denied = methods.flatMap((method) =>
  roles.filter((role) => !rolesOf(method).includes(role)).map((role) => [role, method] as const),
);

describe.each(bothListeners)("%s", (name) => {
  test.each(denied)("denies a key with the role %s to call %s", async (role, method) => {
    const call = callerFor(name, portsOf(role));
    // Nothing in the request matters: the role comes first.
    expect(await call(method, {})).toEqual(
      refusedAs("permission_denied", "permission_denied", { role, allowedRoles: rolesOf(method).join(",") }),
    );
  });

  test.each(allowed)("allows a key with the role %s to call %s", async (role, method) => {
    const request: JsonObject = jobMethods.includes(method) ? { batchJobId: "7" } : {};
    const reply = await callerFor(name, portsOf(role))(method, request);
    expect(JSON.stringify(reply)).toMatch(/^{"ok"|"job_not_found"|"invalid_argument"/);
  });

  test("shows a viewer no commands, and an operator those that are allowed", async () => {
    const { batchJobId } = await answered<{ batchJobId: string }>(
      callerFor(name, portsOf("operator"))("createBatchJob", aJob),
    );
    const allowedCommands = await Promise.all(
      ["viewer", "operator", "admin"].map(async (role) => {
        const { batchJob } = await answered<{ batchJob: { allowedCommands: string[] } }>(
          callerFor(name, portsOf(role))("getBatchJob", { batchJobId }),
        );
        return batchJob.allowedCommands.length;
      }),
    );
    expect(allowedCommands).toEqual([0, 6, 6]);
  });
});

describe("another organization's", async () => {
  const theirs = { ...service, apiKey: (await makeApiKey(db, { role: "admin", organization: "other" })).key };
  const they = callerFor("plain fetch", theirs);
  const theirJob = async (fields: JsonObject = {}) =>
    (await answered<{ batchJobId: string }>(they("createBatchJob", { ...aJob, ...fields }))).batchJobId;
  const batchJobId = await theirJob();
  const besides: Record<string, JsonObject> = {
    planBatchJob: { assumedCallDuration: "60s" },
    getContact: { number: 1 },
    addContacts: { contacts: makeContacts(1, 500) },
    rescheduleBatchJob: { scheduledStartTime: "2031-03-01T10:00:00" },
    updateBatchJob: { name: "Mine" },
  };

  describe.each(bothListeners)("job, asked for by %s,", (name) => {
    const call = callerFor(name, service);

    test.each(jobMethods)("does not exist for %s", async (method) => {
      const before = await allRows(db);
      expect(await call(method, { ...besides[method], batchJobId })).toEqual(
        refusedAs("job_not_found", "not_found", { batchJobId }),
      );
      expect(await allRows(db)).toEqual(before);
    });

    test("is in no list", async () => {
      await call("createBatchJob", aJob);
      const { batchJobs } = await answered<{ batchJobs: { batchJobId: string }[] }>(
        call("listBatchJobs", { pageSize: 1000 }),
      );
      expect(batchJobs.map((job) => job.batchJobId)).not.toContain(batchJobId);
      expect(batchJobs).not.toEqual([]);
    });

    test("is not reached with a page token of theirs", async () => {
      await theirJob();
      const { nextPageToken: pageToken } = await answered<{ nextPageToken: string }>(
        they("listBatchJobs", { pageSize: 1 }),
      );
      expect(await they("listBatchJobs", { pageToken })).toHaveProperty("ok");
      expect(await call("listBatchJobs", { pageToken })).toEqual(
        refusedAs("invalid_page_token", "invalid_argument", { field: "page_token" }),
      );
    });

    test("has contacts that are not reached with a page token of theirs", async () => {
      const { nextPageToken: pageToken } = await answered<{ nextPageToken: string }>(
        they("listContacts", { batchJobId, pageSize: 1 }),
      );
      expect(await call("listContacts", { batchJobId, pageToken })).toEqual(
        refusedAs("job_not_found", "not_found", { batchJobId }),
      );
    });
  });

  test("request ids are no obstacle, and replay nothing of theirs", async () => {
    const requestId = "the same in both";
    const first = await theirJob({ requestId });
    const { batchJobId: second } = await answered<{ batchJobId: string }>(
      callerFor("plain fetch", service)("createBatchJob", { ...aJob, requestId }),
    );
    expect(second).not.toBe(first);
  });
});

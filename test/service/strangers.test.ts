import { create } from "@bufbuild/protobuf";
import { pino } from "pino";
import { afterAll, describe, expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { ImportContactsEndSchema } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import {
  CheckedLease_State,
  RecordedOutcome_Result as Result,
} from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { Role } from "../../src/gen/callsheet/v1/options_pb.ts";
import { ImportSuppressedPhonesEndSchema } from "../../src/gen/callsheet/v1/suppression_service_pb.ts";
import { allOf } from "../support/all-of.ts";
import { makeApiKey } from "../support/api-key.ts";
import {
  type Clients,
  clientsWith,
  leaked,
  makeOwner,
  ownersContacts,
  secrets,
  suppressedPhone,
} from "../support/owner.ts";
import { refusal } from "../support/refusal.ts";
import { startTestService } from "../support/service.ts";
import { everyMethod, services, servicesInProto } from "./every-rpc.ts";

/*
 * A caller that has got hold of another organization's ids and tokens gets nothing for them, by any RPC, and
 * changes nothing by them. Nothing that is the other one's is in any answer. The paths of the HTTP port are tried in
 * every-path.test.ts.
 */

/** What the stranger has been answered. */
const seen: string[] = [];
const logged: string[] = [];

const logger = pino({ level: "trace" }, { write: (line: string) => void logged.push(line) });
const service = await startTestService({ logger });
afterAll(() => service[Symbol.asyncDispose]());
const owner = await makeOwner(service, service.db);
/** What the stranger knows of the owner's. */
const { known } = owner;
const { key: strangersKey } = await makeApiKey(service.db, { role: "admin", organization: "stranger" });
const stranger = clientsWith(service.grpcUrl, strangersKey, seen);

const aJob = {
  name: "Spring campaign",
  fromPhoneNumberId: "pn_1",
  retryOn: [Outcome.BUSY],
};
const aContact = { phone: "+14155550100", name: "", fields: {} };

/** Ends after its first message, or with its refusal. */
async function firstOf<T>(stream: AsyncIterable<T>): Promise<T | undefined> {
  for await (const message of stream) return message;
  return undefined;
}

const notFound = () =>
  expect.objectContaining({ reason: "job_not_found", metadata: { batchJobId: known.batchJobId } });

async function* anUpload() {
  yield { part: { case: "header" as const, value: { batchJobId: known.batchJobId } } };
  yield { part: { case: "csv" as const, value: Buffer.from("phone\n+14155550100\n") } };
  yield { part: { case: "end" as const, value: create(ImportContactsEndSchema) } };
}

const onTheirJob =
  (call: (jobs: Clients["jobs"], job: { batchJobId: string }) => Promise<unknown>) => async () => {
    expect(await refusal(call(stranger.jobs, { batchJobId: known.batchJobId }))).toEqual(notFound());
  };

const onTheirEndpoint =
  (call: (webhooks: Clients["webhooks"], one: { webhookEndpointId: string }) => Promise<unknown>) =>
  async () => {
    const { webhookEndpointId } = known;
    expect(await refusal(call(stranger.webhooks, { webhookEndpointId }))).toMatchObject({
      reason: "webhook_endpoint_not_found",
      metadata: { webhookEndpointId },
    });
  };

/** What a stranger gets, by RPC. */
const attempts: Record<string, () => Promise<void>> = {
  CreateBatchJob: async () => {
    const mine = { ...aJob, name: "The stranger's", requestId: known.requestId };
    const { batchJobId } = await stranger.jobs.createBatchJob(mine);
    expect(batchJobId).not.toBe(known.batchJobId);
    await stranger.jobs.deleteBatchJob({ batchJobId });
  },
  AddContacts: onTheirJob((jobs, job) => jobs.addContacts({ ...job, contacts: [aContact] })),
  ImportContacts: async () => {
    expect(await refusal(stranger.jobs.importContacts(anUpload()))).toEqual(notFound());
  },
  ExportContacts: async () => {
    expect(await refusal(firstOf(stranger.jobs.exportContacts({ batchJobId: known.batchJobId })))).toEqual(
      notFound(),
    );
  },
  ExportRejectedRows: async () => {
    const { otherJobId: batchJobId, importId } = known;
    const rows = firstOf(stranger.jobs.exportRejectedRows({ batchJobId, importId }));
    expect(await refusal(rows)).toMatchObject({ reason: "job_not_found", metadata: { batchJobId } });
  },
  StartBatchJob: onTheirJob((jobs, job) => jobs.startBatchJob(job)),
  RescheduleBatchJob: onTheirJob((jobs, job) =>
    jobs.rescheduleBatchJob({ ...job, scheduledStartTime: "2035-01-01T00:00:00" }),
  ),
  RescheduleBatchJobs: async () => {
    const move = stranger.jobs.rescheduleBatchJobs({ filter: {}, shift: { seconds: 60n } });
    expect((await allOf(move)).map(({ part }) => part)).toMatchObject([
      { case: "summary", value: { movedCount: 0, refusedCount: 0 } },
    ]);
  },
  PauseBatchJob: onTheirJob((jobs, job) => jobs.pauseBatchJob(job)),
  ResumeBatchJob: onTheirJob((jobs, job) => jobs.resumeBatchJob(job)),
  CancelBatchJob: onTheirJob((jobs, job) => jobs.cancelBatchJob(job)),
  UpdateBatchJob: onTheirJob((jobs, job) => jobs.updateBatchJob({ ...job, name: "Mine" })),
  DeleteBatchJob: onTheirJob((jobs, job) => jobs.deleteBatchJob(job)),
  GetBatchJob: onTheirJob((jobs, job) => jobs.getBatchJob(job)),
  PlanBatchJob: onTheirJob((jobs, job) =>
    jobs.planBatchJob({ ...job, assumedCallDuration: { seconds: 60n } }),
  ),
  // It is about nobody's jobs.
  ReadStartTime: async () => {
    const given = { scheduledStartTime: "2035-01-01T00:00:00" };
    expect(await stranger.jobs.readStartTime(given)).toMatchObject({ timezone: "UTC" });
  },
  GetContact: onTheirJob((jobs, job) => jobs.getContact({ ...job, number: 1 })),
  ListContacts: async () => {
    for (const pageToken of ["", known.contactsToken]) {
      const list = stranger.jobs.listContacts({ batchJobId: known.batchJobId, pageToken });
      expect(await refusal(list)).toEqual(notFound());
    }
  },
  FindContacts: async () => {
    const phone = `+1${secrets.phone}1`;
    expect((await stranger.jobs.findContacts({ phone })).contacts).toEqual([]);
    const find = stranger.jobs.findContacts({ phone, pageToken: known.foundToken });
    expect(await refusal(find)).toMatchObject({ reason: "invalid_page_token" });
  },
  EraseContacts: async () => {
    const phone = `+1${secrets.phone}1`;
    const { erasedContacts } = await stranger.jobs.eraseContacts({
      phone,
      reason: "asked",
      requestId: known.requestId,
    });
    expect(erasedContacts).toBe(0);
  },
  ListBatchJobs: async () => {
    expect((await stranger.jobs.listBatchJobs({})).batchJobs).toEqual([]);
    const list = stranger.jobs.listBatchJobs({ pageToken: known.jobsToken, pageSize: 1 });
    expect(await refusal(list)).toMatchObject({ reason: "invalid_page_token" });
  },
  CountBatchJobs: async () => {
    const { counts } = await stranger.jobs.countBatchJobs({});
    expect(counts.map(({ count }) => count)).toEqual([0, 0, 0, 0, 0, 0, 0]);
  },
  WatchBatchJobs: async () => {
    const watch = () => stranger.jobs.watchBatchJobs({ batchJobIds: [known.batchJobId] });
    expect(await refusal(firstOf(watch()))).toEqual(notFound());
    // Also while its owner watches it, so that it is known here.
    const stop = new AbortController();
    const stream = owner.jobs.watchBatchJobs({ batchJobIds: [known.batchJobId] }, { signal: stop.signal });
    const watched = stream[Symbol.asyncIterator]();
    expect((await watched.next()).value).toMatchObject({ batchJob: { batchJobId: known.batchJobId } });
    expect(await refusal(firstOf(watch()))).toEqual(notFound());
    stop.abort();
    await watched.next().catch(() => {});
  },
  LeaseContacts: async () => {
    const asked = { workerId: "worker-1", maxContacts: 10, requestId: known.requestId };
    for (const batchJobIds of [[], [known.batchJobId]])
      expect((await stranger.worker.leaseContacts({ ...asked, batchJobIds })).contacts).toEqual([]);
  },
  ExtendLeases: async () => {
    const leaseIds = [known.liveLeaseId, known.endedLeaseId];
    const { leases } = await stranger.worker.extendLeases({ leaseIds, leaseDuration: { seconds: 3_600n } });
    expect(leases.map(({ leaseExpiresAt }) => leaseExpiresAt)).toEqual([undefined, undefined]);
  },
  CheckLeases: async () => {
    const { leases } = await stranger.worker.checkLeases({
      leaseIds: [known.liveLeaseId, known.endedLeaseId],
    });
    expect(leases.map(({ state }) => state)).toEqual([CheckedLease_State.GONE, CheckedLease_State.GONE]);
  },
  AddSuppressedPhones: async () => {
    const phones = [{ phone: ownersContacts[8]?.phone ?? "", reason: "mine" }];
    const added = await stranger.suppression.addSuppressedPhones({ phones, requestId: known.requestId });
    expect(added).toMatchObject({ addedCount: 1 });
    await stranger.suppression.removeSuppressedPhones({ phones: [phones[0]?.phone ?? ""] });
  },
  RemoveSuppressedPhones: async () => {
    const removed = await stranger.suppression.removeSuppressedPhones({ phones: [suppressedPhone] });
    expect(removed).toMatchObject({ removedCount: 0 });
  },
  CheckSuppressedPhones: async () => {
    const checked = await stranger.suppression.checkSuppressedPhones({ phones: [suppressedPhone] });
    expect(checked.suppressedPhones).toEqual([]);
  },
  ListSuppressedPhones: async () => {
    expect(await stranger.suppression.listSuppressedPhones({})).toMatchObject({ suppressedPhones: [] });
    const list = stranger.suppression.listSuppressedPhones({ pageToken: known.suppressedToken, pageSize: 1 });
    expect(await refusal(list)).toMatchObject({ reason: "invalid_page_token" });
  },
  ImportSuppressedPhones: async () => {
    const csv = "phone\n+14155550100\n";
    async function* file() {
      const requestId = known.requestId;
      yield { part: { case: "header" as const, value: { requestId, reason: "mine" } } };
      yield { part: { case: "csv" as const, value: Buffer.from(csv) } };
      const end = create(ImportSuppressedPhonesEndSchema, { totalBytes: BigInt(csv.length) });
      yield { part: { case: "end" as const, value: end } };
    }
    expect(await stranger.suppression.importSuppressedPhones(file())).toMatchObject({ addedCount: 1 });
    await stranger.suppression.removeSuppressedPhones({ phones: ["+14155550100"] });
  },
  ReleaseLeases: async () => {
    const leaseIds = [known.liveLeaseId, known.endedLeaseId];
    const { leases } = await stranger.worker.releaseLeases({ leaseIds });
    expect(leases.map(({ released }) => released)).toEqual([false, false]);
  },
  ReportOutcomes: async () => {
    const outcomes = [known.liveLeaseId, known.endedLeaseId].map((leaseId) => ({
      leaseId,
      outcome: Outcome.COMPLETED,
    }));
    const answer = await stranger.worker.reportOutcomes({ outcomes });
    expect(answer.outcomes).toMatchObject([
      { result: Result.LEASE_EXPIRED },
      { result: Result.LEASE_EXPIRED },
    ]);
  },
  ListEvents: async () => {
    const { events } = await stranger.events.listEvents({ batchJobIds: [known.batchJobId] });
    expect(events).toEqual([]);
    const all = await stranger.events.listEvents({ pageSize: 1_000 });
    expect(all.events.filter(({ batchJobId }) => batchJobId === known.batchJobId)).toEqual([]);
    expect(
      JSON.stringify(all.events, (_, value) => (typeof value === "bigint" ? String(value) : value)),
    ).not.toContain(known.apiKeyId);
  },
  WatchEvents: async () => {
    const first = await firstOf(stranger.events.watchEvents({ batchJobIds: [known.batchJobId] }));
    expect(first?.events).toEqual([]);
  },
  CreateWebhookEndpoint: async () => {
    const asked = { url: "https://stranger.example.com/", requestId: known.requestId };
    const { webhookEndpoint, secret } = await stranger.webhooks.createWebhookEndpoint(asked);
    const webhookEndpointId = webhookEndpoint?.webhookEndpointId ?? "";
    expect([webhookEndpointId, secret]).not.toContain(known.webhookEndpointId);
    await stranger.webhooks.deleteWebhookEndpoint({ webhookEndpointId });
  },
  ListWebhookEndpoints: async () => {
    expect(await stranger.webhooks.listWebhookEndpoints({})).toMatchObject({ webhookEndpoints: [] });
  },
  GetWebhookEndpoint: onTheirEndpoint((webhooks, one) => webhooks.getWebhookEndpoint(one)),
  UpdateWebhookEndpoint: onTheirEndpoint((webhooks, one) =>
    webhooks.updateWebhookEndpoint({ ...one, settings: { enabled: true } }),
  ),
  DeleteWebhookEndpoint: onTheirEndpoint((webhooks, one) => webhooks.deleteWebhookEndpoint(one)),
  RotateWebhookSecret: onTheirEndpoint((webhooks, one) => webhooks.rotateWebhookSecret(one)),
  SendTestEvent: onTheirEndpoint((webhooks, one) => webhooks.sendTestEvent(one)),
  ListWebhookDeliveries: onTheirEndpoint((webhooks, one) => webhooks.listWebhookDeliveries(one)),
  ReplayEvents: onTheirEndpoint((webhooks, one) => webhooks.replayEvents({ ...one, fromSequence: 1n })),
  WhoAmI: async () => {
    expect(await stranger.access.whoAmI({})).toMatchObject({ organizationName: "stranger" });
  },
  CreateApiKey: async () => {
    const asked = { name: secrets.apiKey.toLowerCase(), role: Role.VIEWER, requestId: known.requestId };
    const { apiKey, secret } = await stranger.access.createApiKey(asked);
    expect(apiKey?.apiKeyId).not.toBe(known.apiKeyId);
    expect(await clientsWith(service.grpcUrl, secret).access.whoAmI({})).toMatchObject({
      organizationName: "stranger",
    });
  },
  ListApiKeys: async () => {
    const { apiKeys } = await stranger.access.listApiKeys({});
    expect(apiKeys.map(({ apiKeyId }) => apiKeyId)).not.toContain(known.apiKeyId);
    expect(apiKeys).not.toEqual([]);
    const list = stranger.access.listApiKeys({ pageToken: known.keysToken, pageSize: 1 });
    expect(await refusal(list)).toMatchObject({ reason: "invalid_page_token" });
  },
  RevokeApiKey: async () => {
    const { apiKeyId, requestId } = known;
    const refused = await refusal(stranger.access.revokeApiKey({ apiKeyId, requestId }));
    expect(refused).toMatchObject({ reason: "api_key_not_found", metadata: { apiKeyId } });
  },
  GetOrganization: async () => {
    const { organization } = await stranger.access.getOrganization({});
    expect(organization).toMatchObject({
      name: "stranger",
      storedContacts: 0,
      dialing: 0,
      suppressedPhones: 0,
    });
  },
  UpdateOrganization: async () => {
    const { organization } = await stranger.access.updateOrganization({ settings: { leaseLimit: 3 } });
    expect(organization).toMatchObject({ name: "stranger", settings: { leaseLimit: 3 } });
  },
};

describe("a caller of another organization", () => {
  test("is tried with every service of the proto", () => {
    expect(services.map(({ name }) => name).toSorted()).toEqual(servicesInProto().toSorted());
  });

  test.each(everyMethod.map(({ name }) => name))("gets nothing by %s, and changes nothing", async (name) => {
    const before = await owner.rows();
    const attempt = attempts[name];
    if (attempt === undefined) throw new Error(`nothing is tried by ${name}`);
    await attempt();
    expect(await owner.rows()).toEqual(before);
    expect(leaked(seen)).toEqual([]);
  });

  test("leaves nothing of the owner's in the log, nor does the owner", () => {
    expect(logged.join("\n")).toContain("AccessService/RevokeApiKey");
    expect(leaked(logged)).toEqual([]);
    expect(
      [owner.key.key, strangersKey, known.webhookSecret].filter((key) =>
        logged.join("\n").includes(key.slice(3)),
      ),
    ).toEqual([]);
  });

  test("has ids that are good for their owner", async () => {
    const { batchJobId, liveLeaseId, jobsToken, contactsToken } = known;
    expect((await owner.jobs.listBatchJobs({ pageToken: jobsToken, pageSize: 1 })).batchJobs).toHaveLength(1);
    const list = { batchJobId, pageToken: contactsToken, pageSize: 1 };
    expect((await owner.jobs.listContacts(list)).contacts).toMatchObject([{ number: 2 }]);
    const outcomes = [{ leaseId: liveLeaseId, outcome: Outcome.COMPLETED }];
    expect((await owner.worker.reportOutcomes({ outcomes })).outcomes).toMatchObject([
      { result: Result.RECORDED },
    ]);
  });

  test("is kept from what the owner is shown", async () => {
    await owner.access.whoAmI({});
    await owner.access.listApiKeys({});
    await owner.jobs.listBatchJobs({});
    await owner.suppression.listSuppressedPhones({});
    await owner.jobs.listContacts({ batchJobId: known.batchJobId });
    for (let number = 1; number < 10; number += 1) {
      await owner.jobs.getContact({ batchJobId: known.batchJobId, number });
    }
    expect(leaked(owner.answered).toSorted()).toEqual(Object.keys(secrets).toSorted());
  });
});

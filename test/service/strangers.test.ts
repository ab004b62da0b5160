import { type DescMethod, create } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService, ImportContactsEndSchema } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import {
  ContactWorkerService,
  RecordedOutcome_Result as Result,
} from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { ensureOrganization } from "../../src/postgres/api-keys.ts";
import { type Database, openDatabase } from "../../src/postgres/database.ts";
import { makeApiKey } from "../support/api-key.ts";
import { makeContacts } from "../support/make.ts";
import { refusal } from "../support/refusal.ts";
import { startTestService } from "../support/service.ts";

/*
 * A caller that has got hold of another organization's ids and tokens gets nothing for them, by any RPC, and changes
 * nothing by them.
 */

type Ours = { jobs: Client<typeof BatchJobService>; worker: Client<typeof ContactWorkerService> };

const stack = new AsyncDisposableStack();
let service: Awaited<ReturnType<typeof startTestService>>;
let db: Database;
let owner: Ours;
let stranger: Ours;
let strangersKey: string;
/** What the stranger knows of the owner's. */
let known: {
  batchJobId: string;
  requestId: string;
  liveLeaseId: string;
  endedLeaseId: string;
  jobsToken: string;
  contactsToken: string;
};
let ownedRows: () => Promise<unknown>;

function clientsWith(key: string): Ours {
  const transport = createGrpcTransport({
    baseUrl: service.grpcUrl,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${key}`);
        return next(request);
      },
    ],
  });
  return {
    jobs: createClient(BatchJobService, transport),
    worker: createClient(ContactWorkerService, transport),
  };
}

const aJob = { name: "Spring campaign", fromPhoneNumberId: "pn_1", retryOn: [Outcome.BUSY] };

beforeAll(async () => {
  service = stack.use(await startTestService());
  db = openDatabase({ url: service.databaseUrl, poolSize: 2 });
  stack.defer(() => db.destroy());
  owner = clientsWith(service.apiKey);
  strangersKey = (await makeApiKey(db, { role: "admin", organization: "stranger" })).key;
  stranger = clientsWith(strangersKey);

  const requestId = "the owner's";
  const { batchJobId } = await owner.jobs.createBatchJob({ ...aJob, contacts: makeContacts(9), requestId });
  await owner.jobs.createBatchJob(aJob);
  await owner.jobs.startBatchJob({ batchJobId });
  const leasing = { workerId: "worker-1", maxContacts: 2, requestId };
  const { contacts } = await owner.worker.leaseContacts({ ...leasing, wait: { seconds: 10n } });
  const [liveLeaseId = "", endedLeaseId = ""] = contacts.map(({ leaseId }) => leaseId);
  await owner.worker.reportOutcomes({ outcomes: [{ leaseId: endedLeaseId, outcome: Outcome.BUSY }] });
  const { nextPageToken: jobsToken } = await owner.jobs.listBatchJobs({ pageSize: 1 });
  const { nextPageToken: contactsToken } = await owner.jobs.listContacts({ batchJobId, pageSize: 1 });
  known = { batchJobId, requestId, liveLeaseId, endedLeaseId, jobsToken, contactsToken };

  const owners = await ensureOrganization(db, "default");
  ownedRows = async () => {
    const tables = [
      "batch_jobs",
      "contact_blocks",
      "contact_phones",
      "leases",
      "attempts",
      "retries",
      "requests",
    ];
    const all = tables.map(async (table) => {
      const { rows } = await sql`
        select * from ${sql.table(table)} as t where organization_id = ${owners} order by t::text`.execute(
        db,
      );
      return [table, rows] as const;
    });
    return Object.fromEntries(await Promise.all(all));
  };
});
afterAll(() => stack.disposeAsync());

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
  (call: (jobs: Ours["jobs"], job: { batchJobId: string }) => Promise<unknown>) => async () => {
    expect(await refusal(call(stranger.jobs, { batchJobId: known.batchJobId }))).toEqual(notFound());
  };

/** What a stranger gets, by RPC. */
const attempts: Record<string, () => Promise<void>> = {
  CreateBatchJob: async () => {
    const { batchJobId } = await stranger.jobs.createBatchJob({ ...aJob, requestId: known.requestId });
    expect(batchJobId).not.toBe(known.batchJobId);
    await stranger.jobs.deleteBatchJob({ batchJobId });
  },
  AddContacts: onTheirJob((jobs, job) => jobs.addContacts({ ...job, contacts: makeContacts(1, 500) })),
  ImportContacts: async () => {
    expect(await refusal(stranger.jobs.importContacts(anUpload()))).toEqual(notFound());
    const response = await fetch(`${service.httpUrl}/batch-jobs/${known.batchJobId}/contacts.csv`, {
      method: "POST",
      headers: { authorization: `Bearer ${strangersKey}` },
      body: "phone\n+14155550100\n",
    });
    expect(response.status).toBe(404);
  },
  ExportContacts: async () => {
    expect(await refusal(firstOf(stranger.jobs.exportContacts({ batchJobId: known.batchJobId })))).toEqual(
      notFound(),
    );
    const response = await fetch(`${service.httpUrl}/batch-jobs/${known.batchJobId}/contacts.csv`, {
      headers: { authorization: `Bearer ${strangersKey}` },
    });
    expect(response.status).toBe(404);
  },
  StartBatchJob: onTheirJob((jobs, job) => jobs.startBatchJob(job)),
  RescheduleBatchJob: onTheirJob((jobs, job) =>
    jobs.rescheduleBatchJob({ ...job, scheduledStartTime: "2035-01-01T00:00:00" }),
  ),
  PauseBatchJob: onTheirJob((jobs, job) => jobs.pauseBatchJob(job)),
  ResumeBatchJob: onTheirJob((jobs, job) => jobs.resumeBatchJob(job)),
  CancelBatchJob: onTheirJob((jobs, job) => jobs.cancelBatchJob(job)),
  DeleteBatchJob: onTheirJob((jobs, job) => jobs.deleteBatchJob(job)),
  GetBatchJob: onTheirJob((jobs, job) => jobs.getBatchJob(job)),
  GetContact: onTheirJob((jobs, job) => jobs.getContact({ ...job, number: 1 })),
  ListContacts: async () => {
    for (const pageToken of ["", known.contactsToken]) {
      const list = stranger.jobs.listContacts({ batchJobId: known.batchJobId, pageToken });
      expect(await refusal(list)).toEqual(notFound());
    }
  },
  ListBatchJobs: async () => {
    expect((await stranger.jobs.listBatchJobs({})).batchJobs).toEqual([]);
    const list = stranger.jobs.listBatchJobs({ pageToken: known.jobsToken, pageSize: 1 });
    expect(await refusal(list)).toMatchObject({ reason: "invalid_page_token" });
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
};

const methods: readonly DescMethod[] = [...BatchJobService.methods, ...ContactWorkerService.methods];

describe("a caller of another organization", () => {
  test.each(methods.map(({ name }) => name))("gets nothing by %s, and changes nothing", async (name) => {
    const before = await ownedRows();
    const attempt = attempts[name];
    if (attempt === undefined) throw new Error(`nothing is tried by ${name}`);
    await attempt();
    expect(await ownedRows()).toEqual(before);
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
});

import { type Transport, createClient } from "@connectrpc/connect";
import { generateApiKey, hashApiKey } from "../../src/domain/api-key.ts";
import { AccessService } from "../../src/gen/callsheet/v1/access_service_pb.ts";
import { BatchJobStatus, Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { WebhookService } from "../../src/gen/callsheet/v1/webhook_service_pb.ts";
import { Role } from "../../src/gen/callsheet/v1/options_pb.ts";
import { ensureOrganization, insertApiKey } from "../../src/postgres/api-keys.ts";
import type { openDatabase } from "../../src/postgres/connections/database.ts";
import { eventually } from "../support/eventually.ts";
import { type Vocabulary, endpointUrl, personal } from "./words.ts";

type Database = ReturnType<typeof openDatabase>;

/** An admin's key for an organization of this name. */
export async function keyOf(db: Database, organization: string): Promise<string> {
  const apiKey = generateApiKey();
  const organizationId = await ensureOrganization(db, organization);
  const hash = hashApiKey(apiKey);
  await insertApiKey(db, { organizationId, name: "", role: "admin", hash, expiresAt: null });
  return apiKey;
}

function clientsOf(transport: Transport, apiKey: string) {
  const headers = { authorization: `Bearer ${apiKey}` };
  return {
    jobs: createClient(BatchJobService, transport),
    worker: createClient(ContactWorkerService, transport),
    access: createClient(AccessService, transport),
    webhooks: createClient(WebhookService, transport),
    options: { headers },
  };
}

const contacts = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ phone: `${personal.phone}${1_000 + i}`, name: personal.name }));

const jobOf = (count: number) => ({
  name: personal.name,
  fromPhoneNumberId: "pn_1",
  contacts: contacts(count),
});

/** A file with a row that is rejected. */
async function* fileWithFlaws(batchJobId: string) {
  const csv = Buffer.from(`phone,name\n${personal.phone}0001,${personal.name}\nnobody,${personal.name}\n`);
  yield { part: { case: "header" as const, value: { batchJobId } } };
  yield { part: { case: "csv" as const, value: csv } };
  yield { part: { case: "end" as const, value: { totalBytes: BigInt(csv.length) } } };
}

export type World = {
  readonly apiKey: string;
  /** Of an organization whose settings may be changed. */
  readonly changeableKey: string;
  readonly words: Vocabulary;
};

/** Organizations with jobs in each status, leases, tokens and keys that nobody has harmed yet. */
export async function createWorld(db: Database, transport: Transport, name: string): Promise<World> {
  const apiKey = await keyOf(db, name);
  const changeableKey = await keyOf(db, `${name}, to be changed`);
  const { jobs, worker, access, webhooks, options } = clientsOf(transport, apiKey);

  const created = await Promise.all(
    Array.from({ length: 24 }, (_, i) =>
      jobs.createBatchJob(
        { ...jobOf(30), ...(i % 4 === 1 && { scheduledStartTime: "2035-03-01T10:00Z" }) },
        options,
      ),
    ),
  );
  const jobIds = created.map(({ batchJobId }) => batchJobId);
  const running = jobIds.filter((_, i) => i % 4 >= 2);
  await Promise.all(running.map((batchJobId) => jobs.startBatchJob({ batchJobId }, options)));
  const leased = await eventually(async () => {
    const found = await worker.leaseContacts({ workerId: "w", maxContacts: 60 }, options);
    if (found.contacts.length === 0) throw new Error("nothing is leased yet");
    return found.contacts;
  });
  const [paused = "", cancelled = ""] = running;
  await jobs.pauseBatchJob({ batchJobId: paused }, options);
  await jobs.cancelBatchJob({ batchJobId: cancelled }, options);

  const apiKeys = await Promise.all(
    [Role.ADMIN, Role.WORKER, Role.VIEWER].map((role) => access.createApiKey({ name: "", role }, options)),
  );
  const endpoints = await Promise.all(
    Array.from({ length: 6 }, () => webhooks.createWebhookEndpoint({ url: endpointUrl }, options)),
  );
  const [pending = ""] = jobIds;
  const { importId } = await jobs.importContacts(fileWithFlaws(pending), options);
  const pages = [
    await jobs.listBatchJobs({ pageSize: 2 }, options),
    await jobs.listContacts({ batchJobId: paused, pageSize: 2 }, options),
    await access.listApiKeys({ pageSize: 1 }, options),
  ];
  return {
    apiKey,
    changeableKey,
    words: {
      jobIds,
      leaseIds: leased.map(({ leaseId }) => leaseId),
      endpointIds: endpoints.flatMap(({ webhookEndpoint }) => webhookEndpoint?.webhookEndpointId ?? []),
      importIds: [importId],
      apiKeyIds: apiKeys.flatMap(({ apiKey: made }) => made?.apiKeyId ?? []),
      pageTokens: pages.map(({ nextPageToken }) => nextPageToken),
    },
  };
}

/** Leaves the service nothing to go on with: to the endpoints of a world nothing is ever delivered. */
export async function endWorld(transport: Transport, { apiKey }: World): Promise<void> {
  const { webhooks, options } = clientsOf(transport, apiKey);
  const { webhookEndpoints } = await webhooks.listWebhookEndpoints({}, options);
  for (const { webhookEndpointId } of webhookEndpoints)
    await webhooks.deleteWebhookEndpoint({ webhookEndpointId }, options);
}

/** What an ordinary client does: a job is created, started, worked and over; answers how many calls were completed. */
export async function workAJob(transport: Transport, apiKey: string): Promise<number | undefined> {
  const { jobs, worker, options } = clientsOf(transport, apiKey);
  const { batchJobId } = await jobs.createBatchJob(jobOf(5), options);
  await jobs.startBatchJob({ batchJobId }, options);
  const filter = { workerId: "w", maxContacts: 5, batchJobIds: [batchJobId] };
  const show = async () => (await jobs.getBatchJob({ batchJobId }, options)).batchJob;
  return await eventually(async () => {
    const leased = await worker.leaseContacts(filter, options);
    const outcomes = leased.contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
    if (outcomes.length > 0) await worker.reportOutcomes({ outcomes }, options);
    const job = await show();
    if (job?.status !== BatchJobStatus.COMPLETED) throw new Error("the job is not over yet");
    return job.counts?.completed;
  });
}

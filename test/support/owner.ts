import { create } from "@bufbuild/protobuf";
import { type Client, ConnectError, createClient } from "@connectrpc/connect";
import { sql } from "kysely";
import { AccessService } from "../../src/gen/callsheet/v1/access_service_pb.ts";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService, ImportContactsEndSchema } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { EventService } from "../../src/gen/callsheet/v1/event_service_pb.ts";
import { Role } from "../../src/gen/callsheet/v1/options_pb.ts";
import { SuppressionService } from "../../src/gen/callsheet/v1/suppression_service_pb.ts";
import { WebhookService } from "../../src/gen/callsheet/v1/webhook_service_pb.ts";
import type { Database } from "../../src/postgres/connections/database.ts";
import { type MadeApiKey, makeApiKey } from "./api-key.ts";
import { grpcTo } from "./transports.ts";

/* An organization that has one of everything, which nobody else may see, or change. */

export type Clients = {
  jobs: Client<typeof BatchJobService>;
  worker: Client<typeof ContactWorkerService>;
  access: Client<typeof AccessService>;
  suppression: Client<typeof SuppressionService>;
  events: Client<typeof EventService>;
  webhooks: Client<typeof WebhookService>;
};

/** What is the owner's, and nobody may see; each of them is in something that the owner does see. */
export const secrets = {
  organization: "The owner's organization",
  job: "The owner's campaign",
  description: "What the owner is about",
  fromPhoneNumberId: "the owner's line",
  phone: "4155507000",
  name: "Somebody the owner calls",
  field: "What the owner knows of them",
  worker: "the owner's worker",
  failure: "what the owner's worker said",
  apiKey: "The owner's other key",
  suppressed: "4155507999",
  whySuppressed: "why the owner calls them no more",
  webhookUrl: "https://the-owner.example.com/where-they-listen",
  rejected: "whom the owner cannot call",
};

/** Which of the owner's secrets are in these texts. */
export const leaked = (texts: readonly string[]): string[] => {
  const all = texts.join("\n");
  return Object.entries(secrets).flatMap(([name, secret]) => (all.includes(secret) ? [name] : []));
};

export const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) => {
    if (typeof part === "bigint") return String(part);
    return part instanceof Uint8Array ? Buffer.from(part).toString() : part;
  });

/** Clients under this key, over gRPC; they note all that they are answered. */
export function clientsWith(grpcUrl: string, key: string, answered: string[] = []): Clients {
  async function* each<M>(messages: AsyncIterable<M>) {
    for await (const message of messages) {
      answered.push(textOf(message));
      yield message;
    }
  }
  const transport = grpcTo(grpcUrl, key, [
    (next) => async (request) => {
      try {
        const response = await next(request);
        answered.push(textOf([...response.header, ...response.trailer]));
        if (response.stream) return { ...response, message: each(response.message) };
        answered.push(textOf(response.message));
        return response;
      } catch (error) {
        const { rawMessage, metadata, details } = ConnectError.from(error);
        const values = details.map((detail) =>
          "desc" in detail ? detail.value : [detail.value, detail.debug],
        );
        answered.push(rawMessage, textOf([...metadata]), textOf(values));
        throw error;
      }
    },
  ]);
  return {
    jobs: createClient(BatchJobService, transport),
    worker: createClient(ContactWorkerService, transport),
    access: createClient(AccessService, transport),
    suppression: createClient(SuppressionService, transport),
    events: createClient(EventService, transport),
    webhooks: createClient(WebhookService, transport),
  };
}

const ownersJob = {
  name: secrets.job,
  description: secrets.description,
  fromPhoneNumberId: secrets.fromPhoneNumberId,
  retryOn: [Outcome.BUSY],
  retryDelays: [{ seconds: 3_600n }],
};

export const ownersContacts = Array.from({ length: 9 }, (_, i) => ({
  phone: `+1${secrets.phone}${i}`,
  name: secrets.name,
  fields: { note: secrets.field },
}));

export const suppressedPhone = `+1${secrets.suppressed}`;

async function* rejectedFile(batchJobId: string) {
  const csv = Buffer.from(`phone\n${secrets.rejected}\n`);
  yield { part: { case: "header" as const, value: { batchJobId } } };
  yield { part: { case: "csv" as const, value: csv } };
  const end = create(ImportContactsEndSchema, { totalBytes: BigInt(csv.length) });
  yield { part: { case: "end" as const, value: end } };
}

/** What others may have got to know of the owner's. */
export type Known = {
  readonly batchJobId: string;
  /** The job that rows were rejected of. */
  readonly otherJobId: string;
  readonly importId: string;
  readonly requestId: string;
  readonly liveLeaseId: string;
  readonly endedLeaseId: string;
  readonly jobsToken: string;
  readonly contactsToken: string;
  readonly foundToken: string;
  readonly apiKeyId: string;
  readonly keysToken: string;
  readonly suppressedToken: string;
  readonly webhookEndpointId: string;
  readonly webhookSecret: string;
};

export type Owner = Clients & {
  readonly key: MadeApiKey;
  readonly known: Known;
  /** What the owner has been answered. */
  readonly answered: readonly string[];
  /** All that it has, but for what goes on by itself. */
  rows(): Promise<Record<string, unknown>>;
};

export async function makeOwner({ grpcUrl }: { grpcUrl: string }, db: Database): Promise<Owner> {
  const key = await makeApiKey(db, { role: "admin", organization: secrets.organization });
  const answered: string[] = [];
  const owner = clientsWith(grpcUrl, key.key, answered);
  const requestId = "the owner's";
  const { batchJobId } = await owner.jobs.createBatchJob({
    ...ownersJob,
    contacts: ownersContacts,
    requestId,
  });
  const { batchJobId: otherJobId } = await owner.jobs.createBatchJob({
    ...ownersJob,
    contacts: ownersContacts.slice(1, 2),
  });
  const { importId } = await owner.jobs.importContacts(rejectedFile(otherJobId));
  await owner.jobs.startBatchJob({ batchJobId });
  const { apiKey } = await owner.access.createApiKey({ name: secrets.apiKey, role: Role.VIEWER, requestId });
  const { contacts } = await owner.worker.leaseContacts({
    workerId: secrets.worker,
    maxContacts: 2,
    requestId,
    leaseDuration: { seconds: 3_600n },
    wait: { seconds: 10n },
  });
  const [liveLeaseId = "", endedLeaseId = ""] = contacts.map(({ leaseId }) => leaseId);
  await owner.worker.reportOutcomes({
    outcomes: [{ leaseId: endedLeaseId, outcome: Outcome.BUSY, failureReason: secrets.failure }],
  });
  const { nextPageToken: jobsToken } = await owner.jobs.listBatchJobs({ pageSize: 1 });
  const { nextPageToken: contactsToken } = await owner.jobs.listContacts({ batchJobId, pageSize: 1 });
  const { nextPageToken: foundToken } = await owner.jobs.findContacts({
    phone: `+1${secrets.phone}1`,
    pageSize: 1,
  });
  const { nextPageToken: keysToken } = await owner.access.listApiKeys({ pageSize: 1 });
  const suppressed = [suppressedPhone, "+14155507888"].map((phone) => ({
    phone,
    reason: secrets.whySuppressed,
  }));
  await owner.suppression.addSuppressedPhones({ phones: suppressed, requestId });
  const { nextPageToken: suppressedToken } = await owner.suppression.listSuppressedPhones({ pageSize: 1 });
  const { webhookEndpoint, secret: webhookSecret } = await owner.webhooks.createWebhookEndpoint({
    url: secrets.webhookUrl,
    types: ["api_key.revoked"],
    requestId,
  });
  const webhookEndpointId = webhookEndpoint?.webhookEndpointId ?? "";
  await owner.webhooks.updateWebhookEndpoint({ webhookEndpointId, settings: { enabled: false } });
  return {
    ...owner,
    key,
    answered,
    known: {
      batchJobId,
      otherJobId,
      importId,
      requestId,
      liveLeaseId,
      endedLeaseId,
      jobsToken,
      contactsToken,
      foundToken,
      apiKeyId: apiKey?.apiKeyId ?? "",
      keysToken,
      suppressedToken,
      webhookEndpointId,
      webhookSecret,
    },
    rows: () => rowsOfOrganization(db, key.organizationId),
  };
}

/** Noted while a job runs, whatever anybody does. */
const noted: ReadonlySet<string> = new Set(["progress", "history"]);

/** When a key was used is written by itself, and who delivers to an endpoint, and how far it is. */
const moving: Readonly<Record<string, readonly string[]>> = {
  api_keys: ["last_used_at"],
  webhook_endpoints: ["holder", "held_until", "sequence"],
};

async function rowsOfOrganization(db: Database, organizationId: number) {
  const { rows: tables } = await sql<{ name: string }>`
    select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and a.attname = 'organization_id'
  `.execute(db);
  const names = tables.map(({ name }) => name).filter((name) => !noted.has(name));
  const all = [...names, "organizations"].map(async (table) => {
    const owned = sql.ref(table === "organizations" ? "id" : "organization_id");
    const { rows } = await sql`
      select to_jsonb(t) - ${moving[table] ?? []}::text[] as row from ${sql.table(table)} as t
      where ${owned} = ${organizationId} order by t::text`.execute(db);
    return [table, rows] as const;
  });
  return Object.fromEntries(await Promise.all(all));
}

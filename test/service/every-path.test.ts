import { randomUUID } from "node:crypto";
import type { DescMethod } from "@bufbuild/protobuf";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { afterAll, expect, test } from "vitest";
import { type Role, roles } from "../../src/domain/caller.ts";
import { writeLeaseId } from "../../src/domain/contacts/lease-id.ts";
import type { ServedPath } from "../../src/rpc/http/paths.ts";
import { makeApiKey } from "../support/api-key.ts";
import {
  clientsWith,
  leaked,
  makeOwner,
  ownersContacts,
  secrets,
  suppressedPhone,
} from "../support/owner.ts";
import { startTestService } from "../support/service.ts";
import { rolesOf } from "./every-rpc.ts";

/*
 * Everything that the HTTP port answers, asked for by whoever should get nothing: nobody, a key that was revoked, keys
 * of the organization with too low a role, and keys of another one, which are answered of the owner's ids what they are
 * answered of ids that nobody has. The service itself says what it answers; what is in no table here fails.
 */

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());
const { db } = service;
const owner = await makeOwner(service, db);

type Keys = Record<Role, string>;

const keysOf = async (organization: string): Promise<Keys> => {
  const made = roles.map(async (role) => [role, (await makeApiKey(db, { role, organization })).key]);
  return Object.fromEntries(await Promise.all(made)) as Keys;
};

const own = await keysOf(secrets.organization);
/** One asks for what is the owner's, another in the same way for what is nobody's. */
const strangers = { curious: "a curious organization", aimless: "an aimless organization" };
const curious = await keysOf(strangers.curious);
const aimless = await keysOf(strangers.aimless);
const revoked = await makeApiKey(db, { role: "admin", organization: secrets.organization });
await db.updateTable("api_keys").set({ revoked_at: new Date() }).where("id", "=", revoked.id).execute();

/** Ids that are the owner's, or nobody's, and who asks for them. */
type Ids = Readonly<Record<keyof ReturnType<typeof ownersIds>, string>>;

function ownersIds() {
  const { webhookSecret: _secret, endedLeaseId: _ended, liveLeaseId: leaseId, ...known } = owner.known;
  const phone = `+1${secrets.phone}1`;
  return { ...known, leaseId, phone, suppressedPhone, organization: strangers.curious };
}

const ids: Ids = ownersIds();

/** A job that is there no more, and a token of it. */
async function makeGone(): Promise<{ batchJobId: string; contactsToken: string }> {
  const { key } = await makeApiKey(db, { role: "admin", organization: "a third organization" });
  const { jobs } = clientsWith(service.grpcUrl, key);
  const job = { name: "Gone", fromPhoneNumberId: "pn_1", contacts: ownersContacts };
  const { batchJobId } = await jobs.createBatchJob(job);
  const { nextPageToken: contactsToken } = await jobs.listContacts({ batchJobId, pageSize: 1 });
  await jobs.deleteBatchJob({ batchJobId });
  return { batchJobId, contactsToken };
}

const nobodys: Ids = {
  ...(await makeGone()),
  otherJobId: randomUUID(),
  importId: randomUUID(),
  requestId: "nobody's",
  jobsToken: "nobody's",
  foundToken: "nobody's",
  apiKeyId: randomUUID(),
  keysToken: "nobody's",
  suppressedToken: "nobody's",
  webhookEndpointId: randomUUID(),
  leaseId: writeLeaseId({ jobId: randomUUID(), number: 1, attempt: 1, nonce: 1 }),
  organization: strangers.aimless,
  phone: "+14155501111",
  suppressedPhone: "+14155502222",
};

type Attempt = {
  readonly query?: string;
  /** The messages of a call, or the body. */
  readonly json?: object | readonly object[];
  readonly csv?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Who may, where that is not what the RPC says. */
  readonly roles?: readonly Role[];
};

const csv = "phone\n+14155550100\n";
const file = { csv: Buffer.from(csv).toString("base64") };
const end = { end: { totalBytes: String(csv.length) } };
const onJob = ({ batchJobId }: Ids) => ({ batchJobId });
const onEndpoint = ({ webhookEndpointId }: Ids) => ({ webhookEndpointId });
const onLease = ({ leaseId }: Ids) => ({ leaseIds: [leaseId] });

/** What is sent to each RPC. */
const calls: Record<string, (given: Ids) => object | readonly object[]> = {
  WhoAmI: () => ({}),
  CreateApiKey: ({ requestId }) => ({ name: "Mine", role: "ROLE_VIEWER", requestId }),
  ListApiKeys: ({ keysToken }) => ({ pageSize: 1, pageToken: keysToken }),
  RevokeApiKey: ({ apiKeyId, requestId }) => ({ apiKeyId, requestId }),
  GetOrganization: () => ({}),
  UpdateOrganization: ({ requestId }) => ({ settings: { leaseLimit: 3 }, requestId }),
  CreateBatchJob: ({ batchJobId, requestId }) => ({
    name: "Mine",
    fromPhoneNumberId: "pn_1",
    copyContacts: { batchJobId },
    requestId,
  }),
  AddContacts: ({ batchJobId }) => ({ batchJobId, contacts: [{ phone: "+14155550100" }] }),
  ImportContacts: ({ batchJobId }) => [{ header: { batchJobId } }, file, end],
  StartBatchJob: onJob,
  RescheduleBatchJob: (given) => ({ ...onJob(given), scheduledStartTime: "2035-01-01T00:00:00" }),
  RescheduleBatchJobs: () => [{ filter: {}, shift: "60s" }],
  PauseBatchJob: onJob,
  ResumeBatchJob: onJob,
  CancelBatchJob: onJob,
  UpdateBatchJob: (given) => ({ ...onJob(given), name: "Mine" }),
  DeleteBatchJob: onJob,
  GetBatchJob: onJob,
  PlanBatchJob: (given) => ({ ...onJob(given), assumedCallDuration: "60s" }),
  ReadStartTime: () => ({ scheduledStartTime: "2035-01-01T00:00:00" }),
  ListBatchJobs: ({ jobsToken }) => ({ pageSize: 1, pageToken: jobsToken }),
  CountBatchJobs: () => ({}),
  GetContact: (given) => ({ ...onJob(given), number: 1 }),
  WatchBatchJobs: ({ batchJobId }) => [{ batchJobIds: [batchJobId] }],
  ListContacts: ({ batchJobId, contactsToken }) => ({ batchJobId, pageToken: contactsToken }),
  FindContacts: ({ phone }) => ({ phone }),
  EraseContacts: ({ phone, requestId }) => ({ phone, reason: "asked", requestId }),
  ExportContacts: (given) => [onJob(given)],
  ExportRejectedRows: ({ otherJobId, importId }) => [{ batchJobId: otherJobId, importId }],
  LeaseContacts: ({ batchJobId, requestId }) => ({
    workerId: "w",
    maxContacts: 10,
    batchJobIds: [batchJobId],
    requestId,
  }),
  ExtendLeases: (given) => ({ ...onLease(given), leaseDuration: "60s" }),
  CheckLeases: onLease,
  ReleaseLeases: onLease,
  ReportOutcomes: ({ leaseId }) => ({ outcomes: [{ leaseId, outcome: "OUTCOME_COMPLETED" }] }),
  AddSuppressedPhones: ({ requestId }) => ({ phones: [{ phone: "+14155550100" }], requestId }),
  RemoveSuppressedPhones: (given) => ({ phones: [given.suppressedPhone] }),
  CheckSuppressedPhones: (given) => ({ phones: [given.suppressedPhone] }),
  ListSuppressedPhones: ({ suppressedToken }) => ({ pageSize: 1, pageToken: suppressedToken }),
  ImportSuppressedPhones: ({ requestId }) => [{ header: { requestId, reason: "mine" } }, file, end],
  ListEvents: ({ batchJobId }) => ({ batchJobIds: [batchJobId] }),
  WatchEvents: ({ batchJobId }) => [{ batchJobIds: [batchJobId] }],
  CreateWebhookEndpoint: ({ batchJobId, requestId }) => ({
    url: "https://stranger.example.com/",
    batchJobIds: [batchJobId],
    requestId,
  }),
  GetWebhookEndpoint: onEndpoint,
  ListWebhookEndpoints: () => ({}),
  UpdateWebhookEndpoint: (given) => ({ ...onEndpoint(given), settings: { enabled: true } }),
  DeleteWebhookEndpoint: onEndpoint,
  RotateWebhookSecret: onEndpoint,
  SendTestEvent: onEndpoint,
  ListWebhookDeliveries: onEndpoint,
  ReplayEvents: (given) => ({ ...onEndpoint(given), fromSequence: "1" }),
};

const fromConsole = { "x-callsheet-console": "1" };
const nothing = () => ({});
const toMove = () => ({ query: "?scheduledStartTime=2035-01-01T00:00:00" });
const contacts = [{ phone: "+14155550100" }];

/** And to each other path that asks for a key; those of the published API are there under /v1 too. */
const requests: Record<string, (given: Ids) => Attempt> = {
  "POST /batch/jobs/{batch_job_id}/start": nothing,
  "POST /batch/{batch_job_id}/start-now": nothing,
  "PATCH /batch/jobs/{batch_job_id}/reschedule": toMove,
  "POST /batch/jobs/{batch_job_id}/reschedule": toMove,
  "POST /batch/create": () => ({ json: { name: "Mine", fromPhoneNumberId: "pn_1", contacts } }),
  "GET /batch/jobs": nothing,
  "HEAD /batch/jobs": nothing,
  "GET /batch/list": nothing,
  "HEAD /batch/list": nothing,
  "GET /batch/jobs/{batch_job_id}": nothing,
  "HEAD /batch/jobs/{batch_job_id}": nothing,
  "GET /batch/{batch_job_id}": nothing,
  "HEAD /batch/{batch_job_id}": nothing,
  "POST /batch/jobs/{batch_job_id}/cancel": nothing,
  "POST /batch/{batch_job_id}/cancel": nothing,
  "POST /batch/{batch_job_id}/pause": nothing,
  "POST /batch/{batch_job_id}/resume": nothing,
  "DELETE /batch/{batch_job_id}": nothing,
  "GET /batch/jobs/{batch_job_id}/redis-status": nothing,
  "HEAD /batch/jobs/{batch_job_id}/redis-status": nothing,
  "POST /batch/jobs/{batch_job_id}/export": () => ({ json: { format: "csv", filter: "all" } }),
  "GET /batch-jobs/{batch_job_id}/contacts.csv": nothing,
  "POST /batch-jobs/{batch_job_id}/contacts.csv": () => ({ csv }),
  "GET /batch-jobs/{batch_job_id}/imports/{import_id}/rejected.csv": nothing,
  "POST /suppressed-phones.csv": ({ requestId }) => ({
    query: `?reason=mine&request_id=${encodeURIComponent(requestId)}`,
    csv,
  }),
  // A worker opens no console, although it may ask who it is.
  "POST /session": () => ({ headers: fromConsole, roles: ["admin", "operator", "viewer"] }),
};

/** Nothing else is answered without a key, but for the files of the console's build. */
const open: Record<string, Attempt> = {
  "POST /grpc.health.v1.Health/Check": { json: {} },
  "POST /grpc.health.v1.Health/List": { json: {} },
  "POST /grpc.health.v1.Health/Watch": { json: [{}] },
  "DELETE /session": { headers: fromConsole },
  ...Object.fromEntries(
    [
      "/",
      "/docs",
      "/jobs",
      "/keys",
      "/never-call",
      "/organization",
      "/webhooks",
      "/openapi.json",
      "/healthz",
      "/readyz",
      "/metrics",
    ].flatMap((path) => [
      [`GET ${path}`, {}],
      [`HEAD ${path}`, {}],
    ]),
  ),
};

type Keyed = ServedPath & { readonly rpc: DescMethod };

const nameOf = ({ method, path }: ServedPath): string => `${method} ${path}`;
const isRpc = ({ path, rpc }: ServedPath): boolean => path === `/${rpc?.parent.typeName}/${rpc?.name}`;
const keyed = service.httpPaths.filter((served): served is Keyed => served.rpc !== undefined);
const withoutKey = service.httpPaths.filter((served) => served.rpc === undefined);

/** What stands in the table for it. */
const rowOf = (served: Keyed): string =>
  isRpc(served) ? served.rpc.name : nameOf(served).replace(" /v1/", " /");

test("everything that the HTTP port answers is in a table here", () => {
  expect([...new Set(keyed.map(rowOf))].toSorted()).toEqual(
    [...Object.keys(calls), ...Object.keys(requests)].toSorted(),
  );
  const other = withoutKey.filter(({ path }) => !path.startsWith("/assets/"));
  const listed = other.map(nameOf).toSorted();
  expect(listed).toEqual(Object.keys(open).toSorted());
});

function attemptOn(served: Keyed, given: Ids): Attempt {
  const call = isRpc(served) ? calls[served.rpc.name] : undefined;
  if (call !== undefined) return { json: call(given) };
  const request = requests[rowOf(served)];
  if (request === undefined) throw new Error(`nothing is tried with ${nameOf(served)}`);
  return request(given);
}

function bodyOf({ rpc, method }: ServedPath, { json, csv: rows }: Attempt): RequestInit {
  if (rows !== undefined) return { body: rows, headers: { "content-type": "text/csv" } };
  if (json === undefined || method === "GET" || method === "HEAD") return {};
  if (!Array.isArray(json)) {
    return { body: JSON.stringify(json), headers: { "content-type": "application/json" } };
  }
  expect(rpc?.methodKind).not.toBe("unary");
  const messages = json.map((message) => encodeEnvelope(0, Buffer.from(JSON.stringify(message))));
  return { body: Buffer.concat(messages), headers: { "content-type": "application/connect+json" } };
}

const queryOf = ({ method }: ServedPath, { query = "", json }: Attempt): string => {
  if (json === undefined || method !== "GET") return query;
  return `?${new URLSearchParams({ connect: "v1", encoding: "json", message: JSON.stringify(json) })}`;
};

type Answer = { readonly status: number; readonly headers: [string, string][]; readonly text: string };

/** Of a stream that does not end by itself the first message. */
async function ask(
  served: ServedPath,
  attempt: Attempt,
  { key, given = ids }: { key?: string; given?: Ids },
): Promise<Answer> {
  const path = served.path
    .replace("{batch_job_id}", served.path.includes("{import_id}") ? given.otherJobId : given.batchJobId)
    .replace("{import_id}", given.importId);
  const { headers: ofBody, ...body } = bodyOf(served, attempt);
  const response = await fetch(`${service.httpUrl}${path}${queryOf(served, attempt)}`, {
    method: served.method,
    ...body,
    headers: {
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
      ...attempt.headers,
      ...(ofBody as Record<string, string> | undefined),
    },
  });
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    if (/\/Watch\w*$/.test(served.path)) break;
  }
  const text = Buffer.concat(chunks).toString("utf8");
  return { status: response.status, headers: [...response.headers], text };
}

const reasons = ["invalid_api_key", "permission_denied"] as const;
const statuses: Record<number, string> = { 401: "invalid_api_key", 403: "permission_denied" };

/** Why somebody is not let in. */
const whyNot = ({ status, text }: Answer): string | undefined =>
  text === "" ? statuses[status] : reasons.find((reason) => text.toLowerCase().includes(reason));

/** Differ from one answer to the next, whatever is asked. */
const passing = new Set(["date", "callsheet-call-id", "content-length", "connection", "keep-alive", "etag"]);

/** An answer without the ids that were asked for, and without what is new in each. */
function withoutIds({ status, headers, text }: Answer, given: Ids): unknown {
  const withoutThem = (told: string) =>
    Object.entries(given)
      .toSorted(([, one], [, other]) => other.length - one.length)
      .reduce((left, [name, id]) => left.replaceAll(id, `{${name}}`), told)
      .replaceAll(/"organizationId":"\d+"/g, "{its organization}")
      .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "{an id}")
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "{a time}")
      .replaceAll(/(cs|whsec)_[\w+/=-]+/g, "{a secret}");
  const details = text.replaceAll(/"value":"([\w+/=]+)"/g, (_, value: string) =>
    Buffer.from(value, "base64")
      .toString("latin1")
      .replaceAll(/[^ -~]/g, " "),
  );
  const lasting = headers.filter(([name]) => !passing.has(name));
  return {
    status,
    headers: lasting.map(([name, value]) => [name, withoutThem(value)]),
    text: withoutThem(details),
  };
}

test.each(keyed.map((served) => [nameOf(served), served] as const))(
  "%s gives nothing to who should get nothing, and changes nothing",
  async (_, served) => {
    const attempt = attemptOn(served, ids);
    const { roles: allowed = rolesOf(served.rpc) } = attempt;
    const before = await owner.rows();
    const answers: Answer[] = [];
    const note = (answer: Answer) => {
      answers.push(answer);
      return answer;
    };

    const refused: Record<string, string | undefined> = {
      nobody: whyNot(note(await ask(served, attempt, {}))),
      revoked: whyNot(note(await ask(served, attempt, { key: revoked.key }))),
    };
    const expected: Record<string, string | undefined> = {
      nobody: "invalid_api_key",
      revoked: "invalid_api_key",
    };
    for (const role of roles) {
      if (!allowed.includes(role)) {
        refused[`own ${role}`] = whyNot(note(await ask(served, attempt, { key: own[role] })));
        expected[`own ${role}`] = "permission_denied";
      }
      const answer = note(await ask(served, attempt, { key: curious[role] }));
      refused[`foreign ${role}`] = whyNot(answer);
      expected[`foreign ${role}`] = allowed.includes(role) ? undefined : "permission_denied";
      const other = await ask(served, attemptOn(served, nobodys), { key: aimless[role], given: nobodys });
      expect(withoutIds(answer, ids)).toEqual(withoutIds(other, nobodys));
    }
    expect(refused).toEqual(expected);
    expect(leaked(answers.map(({ headers, text }) => `${headers.join()}${text}`))).toEqual([]);
    expect(await owner.rows()).toEqual(before);
  },
);

test("what asks for no key tells everybody the same, and nothing of anybody", async () => {
  const { batchJobId, apiKeyId, liveLeaseId } = owner.known;
  const theirs = [batchJobId, apiKeyId, liveLeaseId, owner.key.key, curious.admin, strangers.curious];
  const before = await owner.rows();
  for (const served of withoutKey) {
    const attempt = open[nameOf(served)] ?? {};
    const byNobody = await ask(served, attempt, {});
    const byStranger = await ask(served, attempt, { key: curious.admin });
    expect([nameOf(served), byStranger.status]).toEqual([nameOf(served), byNobody.status]);
    const told = [byNobody, byStranger].map(({ headers, text }) => `${headers.join()}${text}`);
    expect([nameOf(served), leaked(told)]).toEqual([nameOf(served), []]);
    expect(theirs.filter((id) => told.join("\n").includes(id))).toEqual([]);
  }
  expect(await owner.rows()).toEqual(before);
}, 60_000);

test("the ids that are tried are good for their owner", async () => {
  const shown = new Set(["GET /batch-jobs/{batch_job_id}/contacts.csv", "GET /batch/jobs/{batch_job_id}"]);
  for (const served of keyed.filter((one) => shown.has(nameOf(one)))) {
    const { status, text } = await ask(served, attemptOn(served, ids), { key: own.viewer });
    expect([nameOf(served), status, text.includes(secrets.phone)]).toEqual([nameOf(served), 200, true]);
  }
  const rejected = keyed.find(({ path }) => path.endsWith("/rejected.csv"));
  if (rejected === undefined) throw new Error("there is no such path");
  expect((await ask(rejected, {}, { key: own.viewer })).text).toContain(secrets.rejected);
});

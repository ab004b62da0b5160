import { setTimeout as delay } from "node:timers/promises";
import { type JsonObject, getOption } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { afterAll, describe, expect, test } from "vitest";
import { type RateClass, noRates } from "../../src/domain/rates.ts";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import {
  ContactWorkerService,
  RecordedOutcome_Result as Result,
} from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { RateClass as ProtoRateClass, rate_class } from "../../src/gen/callsheet/v1/options_pb.ts";
import { routes } from "../../src/rest/routes.ts";
import { makeApiKey } from "../support/api-key.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { refusal } from "../support/refusal.ts";
import { startTestService } from "../support/service.ts";
import { connectTo, grpcTo, grpcWebTo } from "../support/transports.ts";
import { type Reply, bothListeners, callerFor, everyClient } from "./callers.ts";

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const setRates = (organizationId: number, rates: Partial<Record<RateClass, number | null>>) =>
  db
    .updateTable("organizations")
    .set(Object.fromEntries(Object.entries(rates).map(([rateClass, rate]) => [`rate_${rateClass}`, rate])))
    .where("id", "=", organizationId)
    .execute();

let organizations = 0;

/** An admin of an organization that may make so many calls. */
async function makeLimited(rates: Partial<Record<RateClass, number>>) {
  const organization = `limited ${(organizations += 1)}`;
  const made = await makeApiKey(db, { role: "admin", organization });
  await setRates(made.organizationId, { read: null, ...rates });
  return { ...made, ports: { ...service, apiKey: made.key } };
}

/** The first refusal among calls that are made one after the other, and its headers. */
async function untilRefused(call: (onHeader: (header: Headers) => void) => Promise<Reply>) {
  let headers = new Headers();
  for (let i = 0; i < 30; i += 1) {
    const reply = await call((header) => (headers = header));
    if ("refused" in reply) return { ...reply.refused, calls: i, headers };
  }
  throw new Error("no call was refused");
}

const aJob = { name: "Spring campaign", fromPhoneNumberId: "pn_1", contacts: makeContacts(2) };

test("every RPC that needs a key has a class, and every HTTP path has one with its RPC", () => {
  const without = [
    ...BatchJobService.methods,
    ...ContactWorkerService.methods,
    ...routes.map(({ rpc }) => rpc),
  ]
    .filter((method) => getOption(method, rate_class) === ProtoRateClass.UNSPECIFIED)
    .map(({ name }) => name);
  expect(without).toEqual([]);
});

describe.each(everyClient)("over %s", (name) => {
  test("a call beyond the rate is refused, and told when to come again", async () => {
    const { ports } = await makeLimited({ read: 3 });
    const call = callerFor(name, ports);
    const { code, message, details, headers, calls } = await untilRefused((onHeader) =>
      call("listBatchJobs", {}, { onHeader }),
    );
    expect(calls).toBeGreaterThanOrEqual(3);
    expect(code).toBe("resource_exhausted");
    expect(message).toMatch(
      /^The organization may make 3 calls of the class read a second, and has made as many; try again in /,
    );
    expect(details).toEqual([
      {
        "@type": "google.rpc.ErrorInfo",
        reason: "RATE_LIMITED",
        domain: "callsheet",
        metadata: { code: "rate_limited", class: "read", limit: "3" },
      },
      { "@type": "google.rpc.RetryInfo", retryDelay: expect.stringMatching(/^[\d.]+s$/) },
    ]);
    expect(headers.get("retry-after")).toBe(/grpc-js|gRPC(?!-Web)/.test(name) ? null : "1");
  });
});

describe.each(bothListeners)("over %s", (name) => {
  test("commands and reads are counted apart", async () => {
    const { ports } = await makeLimited({ command: 1 });
    const call = callerFor(name, ports);
    const { details } = await untilRefused(() => call("createBatchJob", aJob as JsonObject));
    expect(details[0]).toMatchObject({ metadata: { class: "command", limit: "1" } });
    for (let i = 0; i < 10; i += 1) expect(await call("listBatchJobs", {})).toHaveProperty("ok");
  });
});

const transports: [string, (key: string) => Transport][] = [
  ["gRPC", (key) => grpcTo(service.grpcUrl, key)],
  ["Connect", (key) => connectTo(service.httpUrl, key)],
  ["gRPC-Web", (key) => grpcWebTo(service.httpUrl, key)],
];

const asking = { workerId: "worker-1", requestId: "", maxContacts: 1 };

/** A running job of so many contacts, and what the organization may do from then on. */
async function makeRunning(contacts: number) {
  const limited = await makeLimited({});
  const backend = service.clientWith(limited.key);
  const { batchJobId } = await backend.createBatchJob({ ...aJob, contacts: makeContacts(contacts) });
  await backend.startBatchJob({ batchJobId });
  return { ...limited, backend, batchJobId };
}

/** Until the replica has seen the organization's rates. */
const untilLimited = (call: () => Promise<unknown>) =>
  eventually(async () => expect(await refusal(call)).toMatchObject({ reason: "rate_limited" }), 15_000);

describe.each(transports)("a worker over %s", (_, transport) => {
  test("reports, extensions and releases pass while all else is refused", async () => {
    const { key, organizationId, backend } = await makeRunning(30);
    const worker = createClient(ContactWorkerService, transport(key));
    const { contacts } = await worker.leaseContacts({ ...asking, maxContacts: 20, wait: { seconds: 10n } });
    expect(contacts).toHaveLength(5);
    await setRates(organizationId, { read: 1, command: 1, import: 1, lease: 1 });
    await untilLimited(() => backend.listBatchJobs({}));
    await untilLimited(() => worker.leaseContacts({ ...asking, requestId: "again" }));
    const leaseIds = contacts.map(({ leaseId }) => leaseId);
    for (let i = 0; i < 10; i += 1) {
      const { leases } = await worker.extendLeases({ leaseIds });
      expect(leases.every(({ leaseExpiresAt }) => leaseExpiresAt !== undefined)).toBe(true);
    }
    const [back = "", ...called] = leaseIds;
    expect((await worker.releaseLeases({ leaseIds: [back] })).leases).toMatchObject([{ released: true }]);
    let leased = 0;
    for (const leaseId of called) {
      const outcomes = [{ leaseId, outcome: Outcome.COMPLETED }];
      const answer = await worker.reportOutcomes({ outcomes, leaseNext: asking });
      expect(answer.outcomes).toMatchObject([{ result: Result.RECORDED }]);
      leased += answer.contacts.length;
    }
    // What comes with reports is counted as what LeaseContacts gives.
    expect(leased).toBeLessThan(called.length);
  });
});

const send = (path: string, key: string, init: RequestInit = {}) =>
  fetch(`${service.httpUrl}${path}`, { ...init, headers: { authorization: `Bearer ${key}` } });

describe("over plain HTTP", () => {
  test("files are counted by a class of their own, once each", async () => {
    const { key, organizationId, batchJobId } = await makeRunning(1);
    await setRates(organizationId, { import: 1 });
    const upload = () =>
      send(`/batch-jobs/${batchJobId}/contacts.csv`, key, { method: "POST", body: "phone\n+14155550123\n" });
    await eventually(async () => {
      const [first, second] = [await upload(), await upload()];
      await first.text();
      expect(second.status).toBe(429);
      expect(second.headers.get("retry-after")).toMatch(/^[1-5]$/);
      expect(await second.json()).toMatchObject({
        code: "resource_exhausted",
        message: expect.stringContaining("1 calls of the class import a second"),
      });
    }, 15_000);
    expect((await send(`/batch-jobs/${batchJobId}/contacts.csv`, key)).status).toBe(200);
  });

  test("the published paths are counted as their RPCs", async () => {
    const { key } = await makeLimited({ read: 2 });
    const answers: Response[] = [];
    for (let i = 0; i < 6; i += 1) answers.push(await send("/batch/jobs", key));
    expect(answers.slice(0, 2).map(({ status }) => status)).toEqual([200, 200]);
    const refused = answers.find(({ status }) => status === 429);
    expect(refused?.headers.get("retry-after")).toBe("1");
    expect(await refused?.json()).toMatchObject({ success: false, code: "rate_limited" });
  });
});

test("a caller far over its rate is held to it, and an ordinary one beside it is not refused", async () => {
  // So little that a machine that is busy with others goes far over it, too.
  const [wild, ordinary] = [await makeLimited({ read: 10 }), await makeLimited({ read: 50 })];
  const call = callerFor("grpc-js", wild.ports);
  const began = performance.now();
  const over = new AbortController();
  let answers = 0;
  let refusals = 0;
  const loops = Array.from({ length: 20 }, async () => {
    while (!over.signal.aborted) {
      if ("ok" in (await call("listBatchJobs", {}))) answers += 1;
      else refusals += 1;
    }
  });
  for (let i = 0; i < 20; i += 1) {
    for (const name of bothListeners) {
      expect(await callerFor(name, ordinary.ports)("listBatchJobs", {})).toHaveProperty("ok");
    }
    await delay(50);
  }
  over.abort();
  await Promise.all(loops);
  const most = 10 * (1 + (performance.now() - began) / 1_000);
  expect(answers).toBeLessThan(most * 1.05 + 1);
  expect(answers).toBeGreaterThan(most * 0.6);
  expect(refusals).toBeGreaterThan(answers);
});

test("a stream counts once, when it is opened", async () => {
  const { key, organizationId, batchJobId, backend } = await makeRunning(1);
  await setRates(organizationId, { read: 1 });
  await untilLimited(() => backend.listBatchJobs({}));
  await delay(1_100);
  const stream = service.clientWith(key).watchBatchJobs({ batchJobIds: [batchJobId] });
  const watching = stream[Symbol.asyncIterator]();
  expect((await watching.next()).value).toMatchObject({ batchJob: { batchJobId } });
  await backend.pauseBatchJob({ batchJobId });
  expect((await watching.next()).value).toMatchObject({ batchJob: { batchJobId } });
  expect(await refusal(backend.getBatchJob({ batchJobId }))).toMatchObject({ reason: "rate_limited" });
  await watching.return?.();
});

test("a change of an organization's rates is followed within 5 s, without a restart", async () => {
  const { key, organizationId } = await makeLimited({});
  const backend = service.clientWith(key);
  await backend.listBatchJobs({});
  await setRates(organizationId, { read: 1 });
  await untilLimited(() => backend.listBatchJobs({}));
  await setRates(organizationId, { read: 0 });
  await eventually(async () => {
    const lists = await Promise.all(Array.from({ length: 5 }, () => backend.listBatchJobs({})));
    expect(lists).toHaveLength(5);
  }, 15_000);
});

test("the service's rates are for every organization without its own, and refused calls are a metric", async () => {
  await using own = await startTestService({ rates: { ...noRates, read: 2 } });
  const backend = own.clientWith(own.apiKey);
  const calls = await Promise.allSettled(Array.from({ length: 12 }, () => backend.listBatchJobs({})));
  const refused = calls.filter(({ status }) => status === "rejected");
  expect(refused.length).toBeGreaterThanOrEqual(8);
  const metrics = await (await fetch(`${own.httpUrl}/metrics`)).text();
  expect(metrics).toContain(`callsheet_rate_limited_total{class="read"} ${refused.length}`);
});

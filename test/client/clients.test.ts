import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { afterAll, expect, test } from "vitest";
import { type ClientOptions, createClients, services } from "../../src/client/clients.ts";
import { persistent } from "../../src/client/persistent.ts";
import { codeOf, mayComeAgain } from "../../src/client/repeats.ts";
import {
  BatchJobService,
  CreateBatchJobRequestSchema,
} from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { Role } from "../../src/gen/callsheet/v1/options_pb.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { refusal } from "../support/refusal.ts";
import { startProxy } from "../support/servers/proxy.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());

const { apiKey } = service;
const job = { name: "A job", fromPhoneNumberId: "pn_1", contacts: [{ phone: "+14155550100" }] };

const ways = [
  { protocol: "grpc", url: service.grpcUrl },
  { protocol: "connect", url: service.httpUrl },
] as const satisfies ClientOptions[] | object[];

test.each(ways)("over $protocol every service takes calls under the key", async ({ protocol, url }) => {
  const { jobs, worker, access } = createClients({ url, protocol, apiKey });
  expect((await access.whoAmI({})).role).toBe(Role.ADMIN);
  const { batchJobId } = await jobs.createBatchJob(job);
  await jobs.startBatchJob({ batchJobId });
  const { contacts } = await worker.leaseContacts({
    workerId: "w",
    maxContacts: 1,
    batchJobIds: [batchJobId],
  });
  expect(contacts.map(({ phone }) => phone)).toEqual(["+14155550100"]);
});

test.each(ways)(
  "over $protocol a command whose answer is lost with the connection is done once, and answered",
  async ({ protocol, url }) => {
    await using proxy = await startProxy(url);
    const { jobs } = createClients({ url: proxy.url, protocol, apiKey });
    const name = `Answered late ${randomUUID()}`;
    // A job of that name is made by now, or its request is on the way.
    const trap = proxy.trap((request) => request.includes(name), "drop the reply");
    const { batchJobId } = await jobs.createBatchJob({ ...job, name });
    await trap.sprung;
    const { batchJobs } = await jobs.listBatchJobs({ nameContains: name });
    expect(batchJobs.map((found) => found.batchJobId)).toEqual([batchJobId]);
  },
);

test("a key whose secret was lost with the connection is made once, and answered without it", async () => {
  await using proxy = await startProxy(service.grpcUrl);
  const { access } = createClients({ url: proxy.url, apiKey });
  const name = `Answered late ${randomUUID()}`;
  const trap = proxy.trap((request) => request.includes(name), "drop the reply");
  const { apiKey: made, secret } = await access.createApiKey({ name, role: Role.WORKER });
  await trap.sprung;
  const { apiKeys } = await access.listApiKeys({});
  const found = apiKeys.filter((key) => key.name === name);
  expect(found.map(({ apiKeyId }) => apiKeyId)).toEqual([made?.apiKeyId]);
  expect(secret).toBe("");
});

test("a service that is away for a moment is waited for", async () => {
  await using proxy = await startProxy(service.grpcUrl);
  const { jobs } = createClients({ url: proxy.url, apiKey });
  await jobs.listBatchJobs({});
  await proxy.cut();
  const listed = jobs.listBatchJobs({});
  await proxy.mend();
  await expect(listed).resolves.toMatchObject({ nextPageToken: "" });
});

test("a key that a function gives is asked for each try", async () => {
  const keys = ["cs_0000000000000000000000000000000000000000", apiKey];
  const { jobs } = createClients({ url: service.grpcUrl, apiKey: () => keys.shift() ?? "" });
  expect((await refusal(jobs.listBatchJobs({}))).reason).toBe("invalid_api_key");
  await jobs.listBatchJobs({});
  expect(keys).toEqual([]);
});

test("a refusal is not repeated, and its code can be read", async () => {
  let tries = 0;
  const { jobs } = createClients({
    url: service.grpcUrl,
    apiKey,
    interceptors: [(next) => ((tries += 1), (request) => next(request))],
  });
  const before = tries;
  const error: unknown = await jobs
    .getBatchJob({ batchJobId: randomUUID() })
    .catch((thrown: unknown) => thrown);
  expect(codeOf(error)).toBe("job_not_found");
  expect(codeOf(new Error("something else"))).toBeUndefined();
  expect(tries - before).toBeLessThanOrEqual(1);
});

const info = (code: string) => ({
  desc: ErrorInfoSchema,
  value: { domain: "callsheet", reason: code.toUpperCase(), metadata: { code } },
});
const comeAgainIn = (ms: number) => ({ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(ms) } });
const failure = (code: Code, ...details: ConnectError["details"]) =>
  Object.assign(new ConnectError("no", code), { details });

type Tries = { requestIds: string[]; atMs: number[] };

/** A service that fails so often, with these errors, and then answers; and a client for it. */
function failing(errors: readonly ConnectError[], timeoutMs = 5_000) {
  const tries: Tries = { requestIds: [], atMs: [] };
  const answer = (requestId: string) => {
    tries.requestIds.push(requestId);
    tries.atMs.push(performance.now());
    const error = errors[tries.atMs.length - 1];
    if (error !== undefined) throw error;
    return {};
  };
  const transport = createRouterTransport((router) => {
    router.service(BatchJobService, {
      createBatchJob: (request) => answer(request.requestId),
      getBatchJob: () => answer(""),
    });
    router.service(ContactWorkerService, {
      leaseContacts: (request) => answer(request.requestId),
      reportOutcomes: (request) => answer(request.leaseNext?.requestId ?? "none"),
    });
  });
  const patient = persistent(transport, { timeoutMs });
  return {
    tries,
    jobs: createClient(BatchJobService, patient),
    worker: createClient(ContactWorkerService, patient),
  };
}

test.each([
  ["unavailable, as the service says it", failure(Code.Unavailable, info("unavailable"), comeAgainIn(1))],
  ["unavailable, as a proxy or this machine says it", failure(Code.Unavailable)],
  ["a connection that broke over HTTP/1.1", failure(Code.Aborted)],
  ["a connection that broke over HTTP/2", failure(Code.Canceled)],
  [
    "a rate that is limited for a moment",
    failure(Code.ResourceExhausted, info("rate_limited"), comeAgainIn(1)),
  ],
])("%s is repeated, always with the same request id", async (_, error) => {
  const { tries, jobs } = failing([error, error]);
  await jobs.createBatchJob(job);
  expect(tries.requestIds).toHaveLength(3);
  expect(new Set(tries.requestIds).size).toBe(1);
  expect(tries.requestIds[0]).toMatch(/^[0-9a-f-]{36}$/);
});

test.each([
  ["a limit without a word on when to come again", failure(Code.ResourceExhausted, info("limit_exceeded"))],
  ["a revision that has moved on", failure(Code.Aborted, info("revision_mismatch"))],
  ["a fault of the service", failure(Code.Internal)],
  ["a wrong request", failure(Code.InvalidArgument, info("invalid_argument"))],
])("%s is not repeated", async (_, error) => {
  const { tries, jobs } = failing([error]);
  await expect(jobs.createBatchJob(job)).rejects.toThrow(error.message);
  expect(tries.requestIds).toHaveLength(1);
});

test("it comes again no sooner than the service asks", async () => {
  const { tries, jobs } = failing([failure(Code.Unavailable, comeAgainIn(700))]);
  await jobs.createBatchJob(job);
  const [first = 0, second = 0] = tries.atMs;
  expect(second - first).toBeGreaterThanOrEqual(699);
});

test("a pause that would outlast the deadline is not begun: the refusal is given at once", async () => {
  const { tries, jobs } = failing([failure(Code.Unavailable, comeAgainIn(60_000))]);
  await expect(jobs.createBatchJob(job)).rejects.toMatchObject({ code: Code.Unavailable });
  expect(tries.atMs).toHaveLength(1);
});

test("a call that is given up ends while it pauses", async () => {
  const { jobs } = failing([failure(Code.Unavailable, comeAgainIn(4_000))]);
  const giveUp = new AbortController();
  const creating = jobs.createBatchJob(job, { signal: giveUp.signal });
  setImmediate(() => giveUp.abort());
  await expect(creating).rejects.toMatchObject({ code: Code.Canceled });
});

test("a request id that the caller gives is kept, and the caller's message stays as it was", async () => {
  const { tries, jobs } = failing([failure(Code.Unavailable)]);
  await jobs.createBatchJob({ ...job, requestId: "mine" });
  const message = create(CreateBatchJobRequestSchema, job);
  await jobs.createBatchJob(message);
  expect(tries.requestIds.slice(0, 2)).toEqual(["mine", "mine"]);
  expect(message.requestId).toBe("");
});

test("a lease, and one that comes with a report, get request ids", async () => {
  const { tries, worker } = failing([]);
  await worker.leaseContacts({ workerId: "w", maxContacts: 1 });
  await worker.reportOutcomes({ leaseNext: { workerId: "w", maxContacts: 1 } });
  await worker.reportOutcomes({});
  expect(tries.requestIds).toEqual([
    expect.stringMatching(/^[0-9a-f-]{36}$/),
    expect.stringMatching(/^[0-9a-f-]{36}$/),
    "none",
  ]);
});

test("a lease may take what it waits beyond the deadline of all calls", async () => {
  await using proxy = await startProxy(service.grpcUrl);
  const { worker } = createClients({ url: proxy.url, apiKey, timeoutMs: 2_000 });
  const waited = await worker.leaseContacts({
    workerId: "w",
    maxContacts: 1,
    batchJobIds: [randomUUID()],
    wait: durationFromMs(3_000),
  });
  expect(waited.contacts).toEqual([]);
});

test("a call to a service that never answers ends by its deadline", async () => {
  await using proxy = await startProxy(service.grpcUrl);
  proxy.freeze();
  const { jobs } = createClients({ url: proxy.url, apiKey, timeoutMs: 300 });
  await expect(jobs.listBatchJobs({})).rejects.toMatchObject({ code: Code.DeadlineExceeded });
});

test("every unary call may come again, and no stream", () => {
  const methods = Object.values(services).flatMap((each) => each.methods);
  const wrong = methods.filter((method) => mayComeAgain(method) !== (method.methodKind === "unary"));
  expect(wrong.map(({ name }) => name)).toEqual([]);
});

import { createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchJobService,
  type ImportContactsRequest,
} from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { revokeApiKey } from "../../src/postgres/api-keys.ts";
import { createGrpcJsTransport } from "../rpc/grpc-js-transport.ts";
import { makeApiKey, type MadeApiKey } from "../support/api-key.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { refusal } from "../support/refusal.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const http = { baseUrl: service.httpUrl, httpVersion: "1.1" as const };
const transports: Record<string, Transport> = {
  "grpc-js": createGrpcJsTransport(Number(new URL(service.grpcUrl).port)),
  "connect-node gRPC": createGrpcTransport({ baseUrl: service.grpcUrl }),
  Connect: createConnectTransport(http),
  "gRPC-Web": createGrpcWebTransport(http),
};

const admin = service.clientWith(service.apiKey);
const newJob = async (contacts = 0) =>
  (
    await admin.createBatchJob({
      name: "A job",
      fromPhoneNumberId: "pn_1",
      contacts: makeContacts(contacts),
    })
  ).batchJobId;

const headersOf = ({ key }: MadeApiKey) => ({ headers: { authorization: `Bearer ${key}` } });

const invalidApiKey = { code: "Unauthenticated", reason: "invalid_api_key" };

/** The value of a sample of the metrics; 0 if it is not there. */
async function sample(name: string): Promise<number> {
  const text = await (await fetch(`${service.httpUrl}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? 0);
}
const openPolls = () =>
  sample('callsheet_open_calls{method="callsheet.v1.ContactWorkerService/LeaseContacts"}');
const openStreams = () =>
  sample('callsheet_open_calls{method="callsheet.v1.BatchJobService/WatchBatchJobs"}');
const watchedJobs = () => sample("callsheet_watched_jobs");
const counts = async () => [await openStreams(), await watchedJobs()];

/** The ways in which a key stops to be valid. */
const ends: Record<string, (key: MadeApiKey) => Promise<unknown>> = {
  "is revoked": ({ id }) => revokeApiKey(db, id),
  expires: ({ id }) =>
    db.updateTable("api_keys").set({ expires_at: new Date() }).where("id", "=", id).execute(),
};

/** How a call ends. The promise is 5 s, to which a busy machine adds; a call that nobody ends goes on. */
async function endsAfter(stop: Promise<unknown>, call: Promise<unknown>) {
  await stop;
  const began = performance.now();
  const ended = await refusal(call);
  expect(performance.now() - began).toBeLessThan(15_000);
  return ended;
}

describe.each(Object.entries(transports))("over %s", (_name, transport) => {
  const jobs = createClient(BatchJobService, transport);
  const worker = createClient(ContactWorkerService, transport);

  test.each(Object.entries(ends))(
    "a stream of jobs ends when its key %s, and another's goes on",
    async (_, stop) => {
      const key = await makeApiKey(db, { role: "viewer" });
      const kept = await makeApiKey(db, { role: "viewer" });
      const batchJobIds = [await newJob()];
      const watch = (by: MadeApiKey) =>
        jobs.watchBatchJobs({ batchJobIds }, headersOf(by))[Symbol.asyncIterator]();
      const [stream, other] = [watch(key), watch(kept)];
      for (const each of [stream, other]) expect((await each.next()).value).toHaveProperty("batchJob");
      expect(await endsAfter(stop(key), stream.next())).toMatchObject(invalidApiKey);
      expect(await refusal(watch(key).next())).toMatchObject(invalidApiKey);
      await admin.cancelBatchJob({ batchJobId: batchJobIds[0] ?? "" });
      expect((await other.next()).value?.batchJob).toMatchObject({ status: 7 });
    },
  );

  test.each(Object.entries(ends))(
    "a long poll ends when its key %s, and gets no contact",
    async (_, stop) => {
      const key = await makeApiKey(db, {
        role: "worker",
        organization: `polled over ${crypto.randomUUID()}`,
      });
      const poll = worker.leaseContacts(
        { workerId: "worker-1", maxContacts: 5, wait: { seconds: 30n } },
        headersOf(key),
      );
      await eventually(async () => expect(await openPolls()).toBe(1));
      expect(await endsAfter(stop(key), poll)).toMatchObject(invalidApiKey);
      await eventually(async () => expect(await openPolls()).toBe(0));
    },
  );
});

test("a file ends with its key while it is on the way, and nothing of it is kept", async () => {
  const key = await makeApiKey(db, { role: "operator" });
  const batchJobId = await newJob();
  const sent = Promise.withResolvers<void>();
  const never = Promise.withResolvers<void>();
  async function* parts(): AsyncIterable<{ part: ImportContactsRequest["part"] }> {
    yield { part: { case: "header", value: { batchJobId } as never } };
    yield { part: { case: "csv", value: Buffer.from("phone\n+14155550100\n") } };
    sent.resolve();
    await never.promise;
  }
  const upload = createClient(BatchJobService, transports["connect-node gRPC"] as Transport).importContacts(
    parts(),
    headersOf(key),
  );
  await sent.promise;
  expect(await endsAfter(revokeApiKey(db, key.id), upload)).toMatchObject(invalidApiKey);
  never.resolve();
  expect((await admin.getBatchJob({ batchJobId })).batchJob?.counts?.total).toBe(0);
});

test("what was open is not counted any more when it has ended", async () => {
  const stop = new AbortController();
  const batchJobIds = [await newJob(), await newJob()];
  await eventually(async () => expect(await counts()).toEqual([0, 0]));
  const stream = admin.watchBatchJobs({ batchJobIds }, { signal: stop.signal })[Symbol.asyncIterator]();
  await stream.next();
  expect(await counts()).toEqual([1, 2]);
  stop.abort();
  await stream.next().catch(() => {});
  await eventually(async () => expect(await counts()).toEqual([0, 0]));
});

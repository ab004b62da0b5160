import { randomUUID } from "node:crypto";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { createGrpcJsTransport } from "../rpc/grpc-js-transport.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import type { Clients } from "../support/replica.ts";
import { createInsist } from "./insist.ts";
import { lastOf, makeLargeJob, watchList } from "./jobs.ts";
import { sized } from "./scale.ts";
import { type System, settled } from "./system.ts";
import { useSystem } from "./use-system.ts";

const shutdownTimeoutMs = 10_000;
/** Far less than the sweep needs to notice: it looks twice, seconds apart. */
const atOnceMs = 2_000;
const contacts = sized(300_000, 1_000_000);

let system: System;
useSystem(
  {
    seed: 11,
    settings: () => ({ SHUTDOWN_TIMEOUT: String(shutdownTimeoutMs / 1000) }),
  },
  (started) => (system = started),
);

const aJob = () => ({ requestId: randomUUID(), name: "A job", fromPhoneNumberId: "pn_1" });

/** How many messages a watcher gets, and the code with which its stream ends. */
async function watchToItsEnd({ jobs }: Clients, batchJobId: string, seen: () => void) {
  let messages = 0;
  try {
    for await (const { batchJob } of jobs.watchBatchJobs({ batchJobIds: [batchJobId] })) {
      messages += batchJob === undefined ? 0 : 1;
      seen();
    }
  } catch (error) {
    return { messages, end: Code[ConnectError.from(error).code] };
  }
  return { messages, end: "ok" };
}

test("SIGTERM in a fan-out, with long polls, watchers and calls in hand: all are answered, and another replica goes on at once", async () => {
  const [stopped] = system.replicas;
  if (stopped === undefined) throw new Error("there is no replica");
  const { jobs, worker } = stopped.clients;
  const large = await makeLargeJob(system, contacts);
  using list = watchList(system, large);
  const { batchJobId: idle } = await jobs.createBatchJob(aJob());
  // So that the fan-out is far from its end when its replica has stopped, although another goes on meanwhile.
  for (const replica of system.replicas) replica.redis.delay(100);
  await jobs.startBatchJob({ requestId: randomUUID(), batchJobId: large.id });

  let isSeen = 0;
  const watchers = [1, 2, 3].map(() => watchToItsEnd(stopped.clients, idle, () => (isSeen += 1)));
  const polls = [1, 2, 3, 4, 5].map(() =>
    worker.leaseContacts({
      workerId: "w",
      maxContacts: 1,
      wait: durationFromMs(60_000),
      batchJobIds: [idle],
    }),
  );
  await eventually(async () => {
    expect(isSeen).toBeGreaterThanOrEqual(3);
    expect(lastOf(await list.position())).toBeGreaterThan(0);
  });
  const added = [0, 1, 2].map((i) =>
    jobs.addContacts({ requestId: randomUUID(), batchJobId: idle, contacts: makeContacts(5_000, i * 5_000) }),
  );
  // They are in hand when a call that was sent after them on the same connection is answered.
  await jobs.getBatchJob({ batchJobId: idle });
  const { exitCode, ms } = await stopped.stop();
  const left = lastOf(await list.position());
  expect(left).toBeLessThan(contacts);
  await eventually(async () => expect(lastOf(await list.position())).toBeGreaterThan(left), atOnceMs);
  for (const replica of system.replicas) replica.redis.delay(0);

  expect(exitCode).toBe(0);
  expect(ms).toBeLessThan(shutdownTimeoutMs);
  expect((await Promise.all(polls)).map((answer) => answer.contacts)).toEqual([[], [], [], [], []]);
  expect(await Promise.all(watchers)).toEqual(
    [1, 2, 3].map(() => ({ messages: expect.toSatisfy((n: number) => n >= 1), end: "Unavailable" })),
  );
  expect((await Promise.all(added)).map((answer) => answer.acceptedCount)).toEqual([5_000, 5_000, 5_000]);
  await eventually(async () => expect(lastOf(await list.position())).toBe(contacts), 30_000);
  expect(await list.order()).toEqual({ length: contacts, wrong: [] });

  await stopped.start();
  await jobs.cancelBatchJob({ requestId: randomUUID(), batchJobId: large.id });
  expect(await settled(system)).toEqual([]);
}, 120_000);

/** What gRPC clients are configured with by those who run more than one server. */
const ordinaryRetries = {
  "grpc.service_config": JSON.stringify({
    loadBalancingConfig: [{ round_robin: {} }],
    methodConfig: [
      {
        name: [{}],
        retryPolicy: {
          maxAttempts: 5,
          initialBackoff: "0.1s",
          maxBackoff: "2s",
          backoffMultiplier: 2,
          retryableStatusCodes: ["UNAVAILABLE"],
        },
      },
    ],
  }),
};

test(`no call fails, for a client with ordinary retries, while three replicas are restarted one after another ${sized(1, 5)} times`, async () => {
  const insist = createInsist(system);
  const address = `ipv4:${system.replicas.map(({ grpcUrl }) => new URL(grpcUrl).host).join(",")}`;
  const plain = createGrpcJsTransport(address, ordinaryRetries);
  const options = { headers: { authorization: `Bearer ${system.apiKey}` }, timeoutMs: 20_000 };
  const jobs = createClient(BatchJobService, plain);
  const worker = createClient(ContactWorkerService, plain);
  const stop = new AbortController();
  const failures: string[] = [];
  let stories = 0;

  async function story(): Promise<void> {
    const creation = { ...aJob(), contacts: makeContacts(5), maxAttempts: 1 };
    const { batchJobId } = await jobs.createBatchJob(creation, options);
    await jobs.startBatchJob({ requestId: randomUUID(), batchJobId }, options);
    for (let done = 0; done < 5;) {
      const request = {
        workerId: "w",
        requestId: randomUUID(),
        maxContacts: 5,
        wait: durationFromMs(500),
        batchJobIds: [batchJobId],
      };
      const leased = await worker.leaseContacts(request, options);
      const outcomes = leased.contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
      done += outcomes.length;
      if (outcomes.length > 0) await worker.reportOutcomes({ outcomes }, options);
    }
    const { batchJob } = await jobs.getBatchJob({ batchJobId }, options);
    expect(batchJob?.counts?.completed).toBe(5);
    stories += 1;
  }
  async function tell(): Promise<void> {
    while (!stop.signal.aborted) await story().catch((error: unknown) => failures.push(String(error)));
  }

  const telling = Array.from({ length: 6 }, tell);
  await eventually(() => expect(stories).toBeGreaterThan(10));
  const exits: (number | null)[] = [];
  for (let round = 0; round < sized(1, 5); round += 1) {
    for (const replica of system.replicas) {
      const { exitCode, ms } = await replica.stop();
      exits.push(exitCode);
      expect(ms).toBeLessThan(shutdownTimeoutMs);
      await replica.start();
    }
  }
  const before = stories;
  await eventually(() => expect(stories).toBeGreaterThan(before + 10), 30_000);
  stop.abort();
  await Promise.all(telling);
  expect(failures).toEqual([]);
  expect(new Set(exits)).toEqual(new Set([0]));
  await insist("ListBatchJobs", (clients, o) => clients.jobs.listBatchJobs({}, o));
  expect(await settled(system)).toEqual([]);
  expect(system.badLogLines()).toEqual([]);
}, 240_000);

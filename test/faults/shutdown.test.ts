import { randomUUID } from "node:crypto";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import type { Clients } from "../support/replica.ts";
import { createInsist } from "./insist.ts";
import { lastOf, makeLargeJob, watchList } from "./jobs.ts";
import { sized } from "./scale.ts";
import { tellStories } from "./stories.ts";
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

test(`no call fails, for a client with ordinary retries, while three replicas are restarted one after another ${sized(1, 5)} times`, async () => {
  const insist = createInsist(system);
  await using stories = tellStories(system.replicas, system.apiKey, { atATime: 6 });
  const told = (more: number) => () => {
    expect(stories.failures).toEqual([]);
    expect(stories.told()).toBeGreaterThan(more);
  };
  await eventually(told(10), 60_000);
  const exits: (number | null)[] = [];
  for (let round = 0; round < sized(1, 5); round += 1) {
    for (const replica of system.replicas) {
      const { exitCode, ms } = await replica.stop();
      exits.push(exitCode);
      expect(ms).toBeLessThan(shutdownTimeoutMs);
      await replica.start();
    }
  }
  await eventually(told(stories.told() + 10), 60_000);
  await stories.stop();
  expect(stories.failures).toEqual([]);
  expect(new Set(exits)).toEqual(new Set([0]));
  await insist("ListBatchJobs", (clients, o) => clients.jobs.listBatchJobs({}, o));
  expect(await settled(system)).toEqual([]);
  expect(system.badLogLines()).toEqual([]);
}, 240_000);

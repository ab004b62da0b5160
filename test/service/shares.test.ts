import { setTimeout as delay } from "node:timers/promises";
import { ConnectError } from "@connectrpc/connect";
import { sql } from "kysely";
import { Client } from "pg";
import { afterAll, expect, test } from "vitest";
import { makeApiKey } from "../support/api-key.ts";
import { eventually } from "../support/eventually.ts";
import { createClients } from "../support/replica.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());
const { db } = service;

async function clientsOf(organization: string) {
  const { key, organizationId } = await makeApiKey(db, { role: "admin", organization });
  return { organizationId, ...createClients(service.grpcUrl, key) };
}
const stuck = await clientsOf("stuck");
const neighbour = await clientsOf("neighbour");

const aJob = {
  name: "Spring campaign",
  fromPhoneNumberId: "pn_1",
  contacts: Array.from({ length: 100 }, (_, i) => ({ phone: `+49151${10_000_000 + i}` })),
  concurrentCallLimit: 100,
};

/** A running job and leases of its contacts. */
async function work({ jobs, worker }: typeof stuck, most: number) {
  const { batchJobId } = await jobs.createBatchJob(aJob);
  await jobs.startBatchJob({ batchJobId });
  const { contacts } = await worker.leaseContacts({
    workerId: "w",
    maxContacts: most,
    wait: { seconds: 5n },
  });
  return { batchJobId, leaseIds: contacts.map(({ leaseId }) => leaseId) };
}

/** An operator's transaction that holds an organization's row, and how many wait for it. */
async function holdRow(organizationId: number) {
  const client = new Client({ connectionString: service.databaseUrl });
  await client.connect();
  await client.query("begin");
  await client.query("select 1 from organizations where id = $1 for update", [organizationId]);
  return {
    // A transaction sees the activity as it was when it looked first.
    async waiting() {
      const { rows } = await sql`
        select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`.execute(
        db,
      );
      return rows.length;
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}

test("an organization whose row is held for seconds, with 20 calls that wait for it, holds up no neighbour", async () => {
  const { leaseIds, batchJobId } = await work(stuck, 20);
  expect(leaseIds).toHaveLength(20);
  await using row = await holdRow(stuck.organizationId);
  const calls = leaseIds.map((leaseId) => stuck.worker.releaseLeases({ leaseIds: [leaseId] }));
  const ended = Promise.allSettled(calls);
  await eventually(async () => expect(await row.waiting()).toBeGreaterThan(1));

  // The neighbour does all there is to do; nothing of it is refused, and its job starts at its time.
  const scheduledStartTime = new Date(Date.now() + 700).toISOString();
  const due = await neighbour.jobs.createBatchJob({ ...aJob, scheduledStartTime });
  const { leaseIds: own } = await work(neighbour, 10);
  // All ten, or five where the job that is due runs already.
  expect(own.length).toBeGreaterThanOrEqual(5);
  const [leaseId = ""] = own;
  await neighbour.worker.extendLeases({ leaseIds: own, leaseDuration: { seconds: 60n } });
  const reported = await neighbour.worker.reportOutcomes({ outcomes: [{ leaseId, outcome: 1 }] });
  expect(reported.outcomes).toHaveLength(1);
  await delay(800);
  const { batchJob } = await neighbour.jobs.getBatchJob({ batchJobId: due.batchJobId });
  expect(batchJob?.startedAt).toBeDefined();
  const lagMs = Number(batchJob?.startLag?.seconds) * 1_000 + Number(batchJob?.startLag?.nanos) / 1e6;
  expect(lagMs).toBeLessThan(500);
  // The stuck one may read all the while.
  expect((await stuck.jobs.getBatchJob({ batchJobId })).batchJob?.batchJobId).toBe(batchJobId);
  expect((await stuck.jobs.listContacts({ batchJobId })).contacts.length).toBeGreaterThan(0);
  expect(await row.waiting()).toBeGreaterThan(1);

  await row[Symbol.asyncDispose]();
  await ended;
}, 60_000);

test("a call that waits too long for others of its organization is told that the service is busy", async () => {
  const { leaseIds } = await work(stuck, 20);
  await using row = await holdRow(stuck.organizationId);
  const calls = leaseIds.map((leaseId) => stuck.worker.releaseLeases({ leaseIds: [leaseId] }));
  const ended = Promise.allSettled(calls);
  const first = await Promise.race(calls).catch((error: unknown) => ConnectError.from(error).rawMessage);
  expect(first).toBe("The service is busy with other calls; try again in a moment.");
  await row[Symbol.asyncDispose]();
  await ended;
}, 60_000);

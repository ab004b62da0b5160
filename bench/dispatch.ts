// Contacts leased, called (a call that takes no time) and reported, per second, with 1, 8 and 64 workers, beside the same
// number of jobs worked by BullMQ, pg-boss and graphile-worker. All in one run, one after the other, each on fresh
// servers with their ordinary, durable settings; the runs alternate, and the median counts.
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "pg";
import { Outcome } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { ContactWorkerService } from "../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { type FreshService, startFreshServers, startFreshService } from "./fresh-service.ts";
import { openGrpcClient } from "./grpc-client.ts";
import { bullmq, graphileWorker, perSecond, pgBoss } from "./peers.ts";

const total = Number(process.env["CONTACTS"] ?? 20_000);
const runs = Number(process.env["RUNS"] ?? 5);
const print = (line: string): void => void process.stdout.write(`${line}\n`);

/** Ours: the service in its own process, workers as concurrent gRPC calls from this one. */
async function callsheet(service: FreshService, workers: number): Promise<number> {
  const { client, grpcAddress, apiKey } = service;
  const database = new Client({ connectionString: service.databaseUrl });
  await database.connect();
  await database.query("update organizations set lease_limit = 10000");
  await database.end();
  const { leaseContacts, reportOutcomes } = ContactWorkerService.method;
  const worker = openGrpcClient(grpcAddress, apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "dispatch",
    fromPhoneNumberId: "pn_1",
    concurrentCallLimit: 1_000,
  });
  for (let first = 0; first < total; first += 10_000) {
    const contacts = Array.from({ length: Math.min(10_000, total - first) }, (_, i) => ({
      phone: `+1${4_150_000_000 + first + i}`,
      name: "Ada Lovelace",
      fields: { plan: "basic", city: "London" },
    }));
    await client.addContacts({ batchJobId, contacts });
  }
  await client.startBatchJob({ batchJobId });
  await delay(500);
  const maxContacts = Math.min(100, Math.floor(1_000 / workers));
  let left = total;
  const began = performance.now();
  await Promise.all(
    Array.from({ length: workers }, async (_, i) => {
      while (left > 0) {
        const { contacts } = await worker.call(leaseContacts, { workerId: `w${i}`, maxContacts });
        if (contacts.length === 0) await delay(1);
        else {
          const outcomes = contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
          await worker.call(reportOutcomes, { outcomes });
          left -= contacts.length;
        }
      }
    }),
  );
  const rate = perSecond(total, began);
  worker.close();
  const { batchJob } = await client.getBatchJob({ batchJobId });
  if (batchJob?.counts?.completed !== total) throw new Error("not every contact was completed");
  return rate;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

const entries: [string, () => Promise<number>][] = [
  ...[1, 8, 64].map((workers): [string, () => Promise<number>] => [
    `Callsheet, ${workers} workers`,
    async () => {
      await using service = await startFreshService();
      return await callsheet(service, workers);
    },
  ]),
  [
    "BullMQ 6.7.0, concurrency 100",
    async () => {
      await using servers = await startFreshServers();
      return await bullmq(servers, total, 1);
    },
  ],
  ...[1, 8].map((workers): [string, () => Promise<number>] => [
    `pg-boss 12.27.0, ${workers} × batch 100`,
    async () => {
      await using servers = await startFreshServers();
      return await pgBoss(servers, total, workers);
    },
  ]),
  [
    "graphile-worker 0.18.0, 100 at once, batched",
    async () => {
      await using servers = await startFreshServers();
      return await graphileWorker(servers, total, 1);
    },
  ],
];

const rates = new Map(entries.map(([name]) => [name, [] as number[]]));
for (let turn = 0; turn < runs; turn += 1) {
  for (const [name, work] of entries) rates.get(name)?.push(await work());
}
print(`${total} contacts, median of ${runs} runs`);
print("| | contacts a second, median | min – max |");
print("|---|---|---|");
for (const [name, values] of rates) {
  print(`| ${name} | ${median(values)} | ${Math.min(...values)} – ${Math.max(...values)} |`);
}

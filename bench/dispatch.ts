// Contacts leased, called (a call that takes no time) and reported, per second, with 1, 8 and 64 workers, beside the same
// number of jobs worked by BullMQ, pg-boss and graphile-worker.
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "pg";
import { Outcome } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { ContactWorkerService } from "../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { type FreshService, type Servers, startFreshServers, startFreshService } from "./fresh-service.ts";
import { openGrpcClient } from "./grpc-client.ts";
import { type Entrant, type Sizes, type Workload } from "./workload.ts";
import { bullmq, graphileWorker, perSecond, pgBoss } from "./peers.ts";

/** Ours: the service in its own process, workers as concurrent gRPC calls from this one. */
async function callsheet(service: FreshService, workers: number, total: number): Promise<number> {
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

const peers: Record<string, (servers: Servers, total: number) => Promise<number>> = {
  "BullMQ 6.7.0, concurrency 100": (servers, total) => bullmq(servers, total, 1),
  "pg-boss 12.27.0, 1 × batch 100": (servers, total) => pgBoss(servers, total, 1),
  "pg-boss 12.27.0, 8 × batch 100": (servers, total) => pgBoss(servers, total, 8),
  "graphile-worker 0.18.0, 100 at once, batched": (servers, total) => graphileWorker(servers, total, 1),
};

export const dispatching = ({ dispatched: total }: Sizes): Workload => ({
  name: "dispatch",
  title: `${total} contacts leased, called (a call that takes no time) and reported`,
  unit: "contacts/s",
  better: "higher",
  note:
    "Callsheet's workers are gRPC clients of a service in another process, and every attempt stays as history. The peers run in " +
    "the bench's own process; BullMQ keeps its jobs in Redis, and graphile-worker deletes a job when it is done.",
  entrants: [
    ...[1, 8, 64].map((workers): Entrant => ({
      name: `Callsheet, ${workers} workers`,
      role: "callsheet",
      async run() {
        await using service = await startFreshService();
        return { value: await callsheet(service, workers, total) };
      },
    })),
    ...Object.entries(peers).map(([name, work]): Entrant => ({
      name,
      role: "peer",
      async run() {
        await using servers = await startFreshServers();
        return { value: await work(servers, total) };
      },
    })),
  ],
});

// Calls a second with 64 in flight, from one client, beside the health check of the same server: the floor of the
// stack.
import { randomUUID } from "node:crypto";
import { BatchJobService } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { Health } from "../src/gen/grpc/health/v1/health_pb.ts";
import { type FreshService, startFreshService } from "./fresh-service.ts";
import { type Call, openGrpcClient } from "./grpc-client.ts";
import { withPostgres } from "./measure.ts";
import { type Entrant, type Sample, type Sizes, type Workload, at } from "./workload.ts";

const inFlight = 64;

export async function callsPerSecond(
  call: (i: number) => Promise<unknown>,
  count: number,
  seconds: number,
): Promise<Sample> {
  const latencies: number[] = [];
  let next = 0;
  const began = performance.now();
  const until = began + seconds * 1_000;
  const worker = async () => {
    while (performance.now() < until && next < count) {
      const sent = performance.now();
      await call(next++);
      latencies.push(performance.now() - sent);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return {
    value: Math.round(latencies.length / ((performance.now() - began) / 1000)),
    extra: { "p50, ms": at(latencies, 0.5), "p99, ms": at(latencies, 0.99) },
  };
}

/** So many pending jobs with a contact each. */
export async function makeJobs({ databaseUrl }: FreshService, count: number): Promise<string[]> {
  return await withPostgres(databaseUrl, async (client) => {
    const ids = Array.from({ length: count }, () => randomUUID());
    await client.query(
      `insert into batch_jobs (id, organization_id, name, description, from_phone_number_id, status, timezone,
         concurrent_call_limit, max_attempts, retry_on, retry_delays_ms, total_contacts, pending_contacts)
       select id, (select id from organizations limit 1), 'bench', '', 'pn_1', 'pending', 'UTC', 5, 3, '{busy}', '{300000}', 1, 1
       from unnest($1::uuid[]) id`,
      [ids],
    );
    await client.query(
      `insert into contact_blocks (organization_id, job_id, first_number, contacts)
       select (select id from organizations limit 1), id, 1, E'+14155550100\\t\\t{}' from unnest($1::uuid[]) id`,
      [ids],
    );
    return ids;
  });
}

type Make = (call: Call, ids: readonly string[]) => (i: number) => Promise<unknown>;

const { getBatchJob, listBatchJobs } = BatchJobService.method;

const methods: Record<string, Make> = {
  GetBatchJob: (call, ids) => (i) => call(getBatchJob, { batchJobId: ids[i % 100] ?? "" }),
  "ListBatchJobs, a page of 50": (call) => () => call(listBatchJobs, {}),
  "health check": (call) => () => call(Health.method.check, {}),
};

const entrant = (name: string, make: Make, seconds: number): Entrant => ({
  name,
  role: name === "health check" ? "limit" : "callsheet",
  async run() {
    await using service = await startFreshService();
    const client = openGrpcClient(service.grpcAddress, service.apiKey);
    const call = make(client.call, await makeJobs(service, 1_000));
    // Connections are made, and what runs often is compiled: the same for all.
    await callsPerSecond(call, Infinity, 1);
    const sample = await callsPerSecond(call, Infinity, seconds);
    client.close();
    return sample;
  },
});

export const calls = ({ seconds }: Sizes): Workload => ({
  name: "calls",
  title: `Calls a second over gRPC, ${inFlight} in flight`,
  unit: "calls/s",
  better: "higher",
  note: "One client process on the same machine; it takes about as much CPU as the service.",
  entrants: Object.entries(methods).map(([name, make]) => entrant(name, make, seconds)),
});

// Calls a second with 64 in flight, from one client, beside the health check of the same server: the floor of the stack.
import { randomUUID } from "node:crypto";
import { type DescMethodUnary, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Client, Metadata, credentials } from "@grpc/grpc-js";
import { BatchJobService } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { Health } from "../src/gen/grpc/health/v1/health_pb.ts";
import { type FreshService, startFreshService } from "./fresh-service.ts";
import { withPostgres } from "./measure.ts";
import { type Entrant, type Sample, type Sizes, type Workload, at } from "./workload.ts";

const inFlight = 64;

/** A function that makes one call. */
function caller<M extends DescMethodUnary>(service: FreshService, client: Client, method: M) {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${service.apiKey}`);
  const path = `/${method.parent.typeName}/${method.name}`;
  return (request: MessageInitShape<M["input"]>): Promise<void> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        (message) => Buffer.from(toBinary<M["input"]>(method.input, message)),
        (bytes) => fromBinary(method.output, bytes),
        create<M["input"]>(method.input, request),
        metadata,
        (error) => (error ? reject(error) : resolve()),
      );
    });
}

async function callsPerSecond(
  call: (i: number) => Promise<void>,
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
async function makeJobs({ databaseUrl }: FreshService, count: number): Promise<string[]> {
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
      "insert into contacts (job_id, number, phone, name, fields) select id, 1, '+14155550100', '', '{}' from unnest($1::uuid[]) id",
      [ids],
    );
    return ids;
  });
}

type Make = (service: FreshService, client: Client, ids: readonly string[]) => (i: number) => Promise<void>;

const methods: Record<string, Make> = {
  GetBatchJob(service, client, ids) {
    const call = caller(service, client, BatchJobService.method.getBatchJob);
    return (i) => call({ batchJobId: ids[i % 100] ?? "" });
  },
  StartBatchJob(service, client, ids) {
    const call = caller(service, client, BatchJobService.method.startBatchJob);
    return (i) => call({ batchJobId: ids[i] ?? "" });
  },
  RescheduleBatchJob(service, client, ids) {
    const call = caller(service, client, BatchJobService.method.rescheduleBatchJob);
    return (i) => call({ batchJobId: ids[i % ids.length] ?? "", scheduledStartTime: "2035-01-01T00:00:00Z" });
  },
  "health check": (service, client) => {
    const call = caller(service, client, Health.method.check);
    return () => call({});
  },
};

const entrant = (name: string, make: Make, seconds: number): Entrant => ({
  name,
  role: name === "health check" ? "limit" : "callsheet",
  async run() {
    await using service = await startFreshService();
    const client = new Client(service.grpcAddress, credentials.createInsecure());
    const count = 5_000 * seconds;
    const call = make(service, client, await makeJobs(service, count));
    // Connections are made, and what runs often is compiled.
    await callsPerSecond(caller(service, client, Health.method.check).bind(null, {}), 2_000, 1);
    const sample = await callsPerSecond(call, name === "StartBatchJob" ? count : Infinity, seconds);
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

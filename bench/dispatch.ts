// Contacts leased, called (a call that takes no time) and reported, per second, with 1, 8 and 64 workers, beside the
// same number of jobs worked by BullMQ, pg-boss and graphile-worker.
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Outcome } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import type { CreateBatchJobRequestSchema } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import {
  ContactWorkerService,
  type LeasedContact,
} from "../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { type FreshService, startFreshServers, startFreshService } from "./fresh-service.ts";
import { openGrpcClient } from "./grpc-client.ts";
import { cpuSecondsOf, postgresCpuSeconds, withPostgres, withRedis } from "./measure.ts";
import type { Entrant, Sample, Sizes, Workload } from "./workload.ts";
import { perSecond, twelveZones } from "./contacts.ts";
import { type Peer, bullmq, graphileWorker, pgBoss } from "./peers.ts";

/** How many contacts a worker asks for at a time. */
export const batchOf = (workers: number): number => Math.min(100, Math.floor(1_000 / workers));

/** So many as a tenth are worked before, the same for all. */
const warmUp = (total: number): number => Math.ceil(total / 10);

/** So many contacts of these workers' organization may be leased at once as nobody here needs. */
export const liftLimit = ({ databaseUrl }: FreshService) =>
  withPostgres(databaseUrl, (client) => client.query("update organizations set lease_limit = 10000"));

type JobSettings = Pick<MessageInitShape<typeof CreateBatchJobRequestSchema>, "callingHours"> & {
  /** Of the contacts in turn; none for the job's own. */
  readonly zones?: readonly string[];
};

/** Hours that never end: what is measured is what judging them costs. */
const withHours: JobSettings = {
  callingHours: { windows: [{ days: [1, 2, 3, 4, 5, 6, 7], start: "00:00", end: "24:00" }] },
};

/** In no order, as in real files, and even: the odd ones are nobody's here. */
const phoneOf = (i: number): string => `+1${4_150_000_000 + 2 * ((i * 7_919) % 10_000_019)}`;

/** A job of so many contacts that runs. */
async function startJob(
  { client }: FreshService,
  total: number,
  { zones = [], ...settings }: JobSettings = {},
): Promise<string> {
  const { batchJobId } = await client.createBatchJob({
    name: "dispatch",
    fromPhoneNumberId: "pn_1",
    concurrentCallLimit: 1_000,
    ...settings,
  });
  for (let first = 0; first < total; first += 10_000) {
    const contacts = Array.from({ length: Math.min(10_000, total - first) }, (_, i) => ({
      phone: phoneOf(first + i),
      name: "Ada Lovelace",
      fields: { plan: "basic", city: "London" },
      timezone: zones[(first + i) % zones.length] ?? "",
    }));
    await client.addContacts({ batchJobId, contacts });
  }
  await client.startBatchJob({ batchJobId });
  await delay(500);
  return batchJobId;
}

/** Has so many contacts leased and reported by workers that are concurrent gRPC calls; measures how many a second. */
async function work({ grpcAddress, apiKey, pid }: FreshService, workers: number, total: number) {
  const { leaseContacts, reportOutcomes } = ContactWorkerService.method;
  const worker = openGrpcClient(grpcAddress, apiKey);
  const maxContacts = batchOf(workers);
  let left = total;
  const cpuBefore = await cpuSecondsOf(pid);
  const began = performance.now();
  await Promise.all(
    Array.from({ length: workers }, async (_, i) => {
      const asking = { workerId: `w${i}`, maxContacts };
      for (let contacts: LeasedContact[] = []; left > 0;) {
        if (contacts.length === 0) {
          ({ contacts } = await worker.call(leaseContacts, asking));
          if (contacts.length === 0) await delay(1);
        } else {
          const outcomes = contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
          left -= contacts.length;
          ({ contacts } = await worker.call(reportOutcomes, { outcomes, leaseNext: asking }));
        }
      }
    }),
  );
  const value = perSecond(total - left, began);
  const cpu = (await cpuSecondsOf(pid)) - cpuBefore;
  worker.close();
  return { value, extra: { "CPU of the service, µs per contact": (cpu * 1e6) / (total - left) } };
}

/** The same with a job of its own; contacts a second, and those for a second of processors, Postgres's among them. */
export async function workJob(service: FreshService, workers: number, contacts: number) {
  await startJob(service, contacts);
  const cpuSeconds = async () =>
    (await cpuSecondsOf(service.pid)) + (await postgresCpuSeconds(service.databaseUrl));
  const before = await cpuSeconds();
  const { value } = await work(service, workers, contacts);
  return { worked: value, ofProcessor: contacts / ((await cpuSeconds()) - before) };
}

/** How a run differs: what becomes of its service before, how its jobs are set. */
export type Terms = {
  readonly prepare?: (service: FreshService) => Promise<unknown>;
  readonly settings?: JobSettings;
};

export async function dispatch(workers: number, total: number, terms: Terms = {}): Promise<Sample> {
  const { prepare, settings = {} } = terms;
  await using service = await startFreshService();
  await liftLimit(service);
  await prepare?.(service);
  await startJob(service, warmUp(total), settings);
  await work(service, workers, warmUp(total));
  const batchJobId = await startJob(service, total, settings);
  const sample = await work(service, workers, total);
  const { batchJob } = await service.client.getBatchJob({ batchJobId });
  if (batchJob?.counts?.completed !== total) throw new Error("not every contact was completed");
  return sample;
}

/**
 * The same on connections that were made, and have planned their statements, while there was next to nothing; then
 * come a job that has ended and one that begins, each of so many contacts.
 */
async function dispatchGrown(workers: number, total: number, contacts: number): Promise<Sample> {
  await using service = await startFreshService();
  await liftLimit(service);
  for (const first of [2_000, total]) {
    await startJob(service, first);
    await work(service, workers, first);
  }
  const [ended, large] = [randomUUID(), randomUUID()];
  await withPostgres(service.databaseUrl, async (client) => {
    const insertJob = (id: string, status: string, of: string) =>
      client.query(
        `insert into batch_jobs (id, organization_id, name, description, from_phone_number_id, status, timezone,
           concurrent_call_limit, max_attempts, retry_on, retry_delays_ms, total_contacts, ${of}_contacts, started_at, finished_at)
         select $1, id, '', '', '', $2, 'UTC', 1000, 3, '{busy}', '{300000}', $3::int, $3::int,
           t, t from organizations, (select case $2 when 'completed' then now() end as t) as ended`,
        [id, status, contacts],
      );
    const insertContacts = (id: string) =>
      client.query(
        `insert into contact_blocks (organization_id, job_id, first_number, contacts)
         select (select id from organizations), $1, min(n), string_agg(concat_ws(E'\\t', '+1' || (4150000000 + n), 'Ada Lovelace', '{"plan":"basic","city":"London"}'), E'\\n' order by n)
         from generate_series(1, $2::int) as n group by (n - 1) / 30`,
        [id, contacts],
      );
    await insertJob(ended, "completed", "completed");
    await insertContacts(ended);
    await client.query(
      `insert into attempts (
         organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome)
       select (select id from organizations), $1, n, 1, 1, 'w', now(), now() + interval '1 minute', now(), 'completed' from generate_series(1, $2::int) as n`,
      [ended, contacts],
    );
    await insertJob(large, "pending", "pending");
    await insertContacts(large);
  });
  await service.client.startBatchJob({ batchJobId: large });
  await withRedis(service.redisUrl, async (redis) => {
    const [key = ""] = await redis.keys(`callsheet:*${large}:position`);
    for (let position = ""; !position.endsWith(`:${contacts}`); position = (await redis.get(key)) ?? "") {
      await delay(20);
    }
  });
  return await work(service, workers, total);
}

const peers: Record<string, Peer> = {
  "BullMQ 6.7.0, one at a time, 100 at once": bullmq,
  "pg-boss 12.27.0, 8 × batches of 100": pgBoss,
  "graphile-worker 0.18.0, fetches 500, 100 at once, completes in batches": graphileWorker,
};

export const dispatching = ({ dispatched: total, contacts }: Sizes): Workload => ({
  name: "dispatch",
  title: `${total} contacts leased, called (a call that takes no time) and reported`,
  unit: "contacts/s",
  better: "higher",
  note:
    "Callsheet's workers are gRPC clients of a service in another process; each lease and each report has so many contacts as is said; every attempt stays as history. The peers run in " +
    "the bench's own process. All have worked a tenth as many before. BullMQ keeps its jobs in Redis, and graphile-worker deletes a job when it is done. Where tables " +
    `have grown, a job of ${contacts} contacts is worked beside one of as many that has ended.`,
  entrants: [
    ...[1, 8, 64].map((workers): Entrant => ({
      name: `Callsheet, ${workers} × batches of ${batchOf(workers)}`,
      role: "callsheet",
      run: () => dispatch(workers, total),
    })),
    {
      name: `Callsheet, 8 × batches of ${batchOf(8)}, within calling hours`,
      role: "callsheet",
      run: () => dispatch(8, total, { settings: withHours }),
    },
    {
      name: `Callsheet, 8 × batches of ${batchOf(8)}, within calling hours, in 12 sets of time zones`,
      role: "callsheet",
      run: () => dispatch(8, total, { settings: { ...withHours, zones: twelveZones } }),
    },
    {
      name: `Callsheet, 8 × batches of ${batchOf(8)}, tables grown under them`,
      role: "callsheet",
      run: () => dispatchGrown(8, total, contacts),
    },
    ...Object.entries(peers).map(([name, workOff]): Entrant => ({
      name,
      role: "peer",
      async run() {
        await using servers = await startFreshServers();
        return { value: await workOff(servers, total, warmUp(total)) };
      },
    })),
  ],
});

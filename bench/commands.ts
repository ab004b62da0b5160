// The two commands that everything began with, start and reschedule, on jobs of one organization and each with a
// request id: how many a second, how long one takes, and whose microseconds they are; beside what peers do to a job
// that waits for its time, and beside the least that a durable change of a row can be: an UPDATE with its commit.
import { randomUUID } from "node:crypto";
import { Pool } from "pg";
import { BatchJobService } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { type FreshService, type Servers, startFreshServers, startFreshService } from "./fresh-service.ts";
import { openGrpcClient } from "./grpc-client.ts";
import { cpuSecondsOf, postgresCpuSeconds, redisCpuSeconds, withPostgres, withRedis } from "./measure.ts";
import { bullmqCommands, graphileCommands } from "./peer-commands.ts";
import { type Entrant, type Sample, type Sizes, type Workload, at } from "./workload.ts";

/** What a command is done to: one job for each number. */
export type Commands = AsyncDisposable & {
  start(i: number): Promise<unknown>;
  reschedule(i: number): Promise<unknown>;
};
export type Name = "start" | "reschedule";

/** Of the processes that work, by their names; the client is this one. */
type CpuSeconds = Readonly<Record<string, number>>;

const clientSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000_000;
};

async function serverSeconds({ databaseUrl, redisUrl }: Servers): Promise<CpuSeconds> {
  return {
    client: clientSeconds(),
    Postgres: await postgresCpuSeconds(databaseUrl),
    Redis: await redisCpuSeconds(redisUrl),
  };
}

/** Calls until the time is over or no number is left; so many at once, each sent when another is answered. */
async function callFor(
  call: (i: number) => Promise<unknown>,
  { first, count, inFlight, seconds }: { first: number; count: number; inFlight: number; seconds: number },
): Promise<{ latencies: number[]; elapsedMs: number }> {
  const latencies: number[] = [];
  const began = performance.now();
  const until = began + seconds * 1_000;
  let next = first;
  const caller = async () => {
    while (next < first + count && performance.now() < until) {
      const sent = performance.now();
      await call(next++);
      latencies.push(performance.now() - sent);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  return { latencies, elapsedMs: performance.now() - began };
}

const warmUp = 1_000;

async function measure(
  commands: Commands,
  readCpu: () => Promise<CpuSeconds>,
  { name, inFlight, seconds, count }: { name: Name; inFlight: number; seconds: number; count: number },
): Promise<Sample> {
  const call = (i: number) => commands[name](i);
  await callFor(call, { first: 0, count: warmUp, inFlight: 64, seconds: 60 });
  const before = await readCpu();
  const { latencies, elapsedMs } = await callFor(call, { first: warmUp, count, inFlight, seconds });
  const after = await readCpu();
  const perCall = Object.entries(after).map(([who, cpu]) => [
    `${who}, µs`,
    Math.round(((cpu - (before[who] ?? 0)) / latencies.length) * 1_000_000),
  ]);
  return {
    value: Math.round(latencies.length / (elapsedMs / 1_000)),
    extra: {
      "p50, ms": at(latencies, 0.5),
      "p99, ms": at(latencies, 0.99),
      ...Object.fromEntries(perCall),
    },
  };
}

/** So many scheduled jobs of one contact each, with their entries. */
export async function makeJobs({ databaseUrl, redisUrl }: FreshService, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID());
  const entries = ids.map(() => randomUUID());
  await withPostgres(databaseUrl, async (client) => {
    await client.query(
      `insert into batch_jobs (id, organization_id, name, description, from_phone_number_id, status, timezone,
         scheduled_at, scheduled_job_id, concurrent_call_limit, max_attempts, retry_on, retry_delays_ms,
         total_contacts, pending_contacts)
       select id, (select id from organizations limit 1), 'bench', '', 'pn_1', 'scheduled', 'UTC', '2034-01-01', entry,
         5, 3, '{busy}', '{300000}', 1, 1
       from unnest($1::uuid[], $2::uuid[]) as t (id, entry)`,
      [ids, entries],
    );
    await client.query("vacuum analyze batch_jobs");
  });
  await withRedis(redisUrl, async (redis) => {
    for (let first = 0; first < count; first += 1_000) {
      const pairs = entries.slice(first, first + 1_000).flatMap((entry) => [Date.UTC(2034, 0, 1), entry]);
      await redis.zadd("callsheet:{schedule}:due", ...pairs);
    }
  });
  return ids;
}

/** Within a year of 2035. */
const timeOf = (i: number): string => new Date(Date.UTC(2035, 0, 1) + (i % 525_600) * 60_000).toISOString();

const { startBatchJob, rescheduleBatchJob } = BatchJobService.method;

/** Gives a command to a service, after what becomes of it before. */
export async function command(
  name: Name,
  inFlight: number,
  seconds: number,
  prepare?: (service: FreshService) => Promise<unknown>,
): Promise<Sample> {
  await using service = await startFreshService();
  await prepare?.(service);
  const count = most(inFlight, seconds);
  const ids = await makeJobs(service, warmUp + count);
  const { call, close } = openGrpcClient(service.grpcAddress, service.apiKey);
  const of = (i: number) => ({ batchJobId: ids[i] ?? "", requestId: randomUUID() });
  const commands: Commands = {
    start: (i) => call(startBatchJob, of(i)),
    reschedule: (i) => call(rescheduleBatchJob, { ...of(i), scheduledStartTime: timeOf(i) }),
    [Symbol.asyncDispose]: async () => close(),
  };
  await using open = commands;
  const readCpu = async () => ({
    service: await cpuSecondsOf(service.pid),
    ...(await serverSeconds(service)),
  });
  return await measure(open, readCpu, { name, inFlight, seconds, count });
}

/** Rows as narrow as can be, with an index on their times. */
async function bareUpdates({ databaseUrl }: Servers, count: number): Promise<Commands> {
  const pool = new Pool({ connectionString: databaseUrl, max: 10 });
  await pool.query(
    "create table things (id int primary key, due_at timestamptz not null, status text not null)",
  );
  await pool.query("create index on things (due_at) where status = 'scheduled'");
  await pool.query("insert into things select i, now(), 'scheduled' from generate_series(0, $1::int) as i", [
    count,
  ]);
  const start = {
    name: "start",
    text: "update things set status = 'running' where id = $1 and status = 'scheduled'",
  };
  const reschedule = { name: "reschedule", text: "update things set due_at = $2 where id = $1" };
  return {
    start: (i) => pool.query({ ...start, values: [i] }),
    reschedule: (i) => pool.query({ ...reschedule, values: [i, timeOf(i)] }),
    [Symbol.asyncDispose]: () => pool.end(),
  };
}

const beside =
  (open: (servers: Servers, count: number) => Promise<Commands>) =>
  async (name: Name, inFlight: number, seconds: number): Promise<Sample> => {
    await using servers = await startFreshServers();
    const count = most(inFlight, seconds);
    await using commands = await open(servers, warmUp + count);
    return await measure(commands, () => serverSeconds(servers), { name, inFlight, seconds, count });
  };

/** More than anybody gets through. */
const most = (inFlight: number, seconds: number): number =>
  inFlight === 1 ? 10_000 : Math.min(200_000, 12_000 * seconds);

const entrants: Record<
  string,
  { role: Entrant["role"]; run: (name: Name, inFlight: number, seconds: number) => Promise<Sample> }
> = {
  Callsheet: { role: "callsheet", run: command },
  "graphile-worker 0.18.0, rescheduleJobs": { role: "peer", run: beside(graphileCommands) },
  "BullMQ 6.7.0, promote or changeDelay": { role: "peer", run: beside(bullmqCommands) },
  "UPDATE with its commit, pool of ten": { role: "limit", run: beside(bareUpdates) },
};

const workload =
  (name: Name, inFlight: number) =>
  ({ seconds }: Sizes): Workload => ({
    name: `${name}-${inFlight}`,
    title: `${name === "start" ? "Starts" : "Reschedules"} a second, ${inFlight} in flight`,
    unit: "commands/s",
    better: "higher",
    note:
      "Jobs of one organization, each command with a request id and over gRPC, from one client on the same machine. " +
      "The peers are called in the client itself; BullMQ keeps jobs in Redis, which writes its file once a second.",
    entrants: Object.entries(entrants).map(([entrant, { role, run }]) => ({
      name: entrant,
      role,
      // One call at a time is measured over as many calls, not as much time.
      run: () => run(name, inFlight, inFlight === 1 ? 60 : seconds),
    })),
  });

export const commandWorkloads = [
  workload("start", 1),
  workload("start", 64),
  workload("reschedule", 1),
  workload("reschedule", 64),
];

// How long after their times jobs are started. All of them are there before the first one is due.
import { setTimeout as delay } from "node:timers/promises";
import { BatchJobStatus } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { type FreshService, startFreshServers, startFreshService } from "./fresh-service.ts";
import { cpuSecondsOf, withPostgres, withRedis } from "./measure.ts";
import { type LatePeer, bullmqDelayed, graphileRunAt, pgBossStartAfter } from "./peer-schedule.ts";
import { type Entrant, type Sample, type Sizes, type Workload, at } from "./workload.ts";

const summary = (lags: readonly number[]): Sample => ({
  value: at(lags, 0.99),
  extra: { "p50, ms": at(lags, 0.5), "least, ms": Math.min(...lags), "most, ms": Math.max(...lags) },
});

/** Creates so many jobs of one contact, 16 at once, that are due in an hour. */
async function createJobs({ client }: FreshService, count: number): Promise<void> {
  const scheduledStartTime = new Date(Date.now() + 3_600_000).toISOString();
  let next = 0;
  const create = async () => {
    while (next < count) {
      const contacts = [{ phone: `+1415${5_000_000 + next++}` }];
      await client.createBatchJob({ name: "bench", fromPhoneNumberId: "pn_1", contacts, scheduledStartTime });
    }
  };
  await Promise.all(Array.from({ length: 16 }, create));
}

/** Moves the jobs to their times, in Postgres and in Redis: however long creating them took, these are ahead. */
async function moveJobs({ databaseUrl, redisUrl }: FreshService, times: readonly Date[]): Promise<void> {
  const moved = await withPostgres(databaseUrl, async (client) => {
    const { rows } = await client.query<{ id: string; entry: string; at: Date }>(
      `update batch_jobs j set scheduled_at = t.at
       from (select id, row_number() over () as n from batch_jobs) i
       join unnest($1::timestamptz[]) with ordinality as t (at, n) on t.n = i.n
       where j.id = i.id returning j.id, j.scheduled_job_id as entry, j.scheduled_at as at`,
      [times],
    );
    // Jobs that were created with these times would have left no dead rows.
    await client.query("vacuum batch_jobs");
    return rows;
  });
  await withRedis(redisUrl, async (redis) => {
    for (let first = 0; first < moved.length; first += 1_000) {
      const scores = moved
        .slice(first, first + 1_000)
        .flatMap(({ entry, at: time }) => [time.getTime(), entry]);
      await redis.zadd("callsheet:{schedule}:due", ...scores);
    }
  });
  if (Date.now() > (times[0]?.getTime() ?? 0)) throw new Error("the first job was due before all were there");
}

/** Waits until so many lists are there; answers when that was, in unix ms. */
const untilListed = ({ redisUrl }: FreshService, count: number): Promise<number> =>
  withRedis(redisUrl, async (redis) => {
    for (;;) {
      const now = Date.now();
      // Each list has a position beside it. Looking for the lists themselves takes the time of those who make them.
      const mayBe = (await redis.dbsize()) >= 2 * count;
      if (mayBe && (await redis.keys("callsheet:*:contacts")).length === count) return now;
      await delay(20);
    }
  });

async function callsheet(count: number, make: () => Date[]): Promise<Sample> {
  await using service = await startFreshService({ commitTimes: true });
  await createJobs(service, count);
  const times = make();
  await moveJobs(service, times);
  const last = times.at(-1)?.getTime() ?? 0;
  await delay(Math.max(0, last - Date.now()));
  const listedAt = await untilListed(service, times.length);
  const { batchJobs } = await service.client.listBatchJobs({
    statuses: [BatchJobStatus.SCHEDULED],
    pageSize: 1,
  });
  if (batchJobs.length > 0) throw new Error("a job was not started");
  return await withPostgres(service.databaseUrl, async (client) => {
    const { rows } = await client.query<{ lag: number }>(
      "select 1000 * extract(epoch from pg_xact_commit_timestamp(xmin) - scheduled_at)::float8 as lag from batch_jobs",
    );
    const { value, extra } = summary(rows.map(({ lag }) => lag));
    return { value, extra: { ...extra, "all on lists after the last time, ms": listedAt - last } };
  });
}

const spacedTimes = (count: number, firstInMs: number): Date[] => {
  let time = Date.now() + firstInMs;
  // 20 to 140 ms apart, the same in every run.
  return Array.from({ length: count }, (_, i) => new Date((time += 20 + ((i * 37) % 121))));
};

const sameTime = (count: number, inMs: number): Date[] => {
  const time = new Date(Date.now() + inMs);
  return Array.from({ length: count }, () => time);
};

const late = (count: number, make: () => Date[]): Entrant[] => [
  { name: "Callsheet", role: "callsheet", run: () => callsheet(count, make) },
  ...Object.entries<LatePeer>({
    "BullMQ 6.7.0, delay": bullmqDelayed,
    "graphile-worker 0.18.0, runAt, polls every 100 ms": graphileRunAt,
    "pg-boss 12.27.0, startAfter, polls every 0.5 s": pgBossStartAfter,
  }).map(([name, run]): Entrant => ({
    name,
    role: "peer",
    async run() {
      await using servers = await startFreshServers();
      return summary(await run(servers, make));
    },
  })),
];

export const spaced = ({ spaced: count }: Sizes): Workload => ({
  name: "lateness",
  title: `Lateness of ${count} jobs spaced 20 to 140 ms, p99`,
  unit: "ms",
  better: "lower",
  note: "Callsheet's is the time of the commit that started the job; the peers' is when their worker was called.",
  entrants: late(count, () => spacedTimes(count, 5_000)),
});

export const atOnce = ({ dueAtOnce }: Sizes): Workload => ({
  name: "due-at-once",
  title: `Lateness of ${dueAtOnce} jobs due in the same instant, p99`,
  unit: "ms",
  better: "lower",
  note: "As above. Each of Callsheet's jobs has a contact to put on a list of its own.",
  entrants: late(dueAtOnce, () => sameTime(dueAtOnce, 10_000)),
});

/** What so many scheduled jobs cost while nothing is due: CPU of the service in percent of one core. */
export const idle = ({ dueAtOnce, seconds }: Sizes): Workload => ({
  name: "idle",
  title: `CPU of the service with ${10 * dueAtOnce} scheduled jobs, none of them due`,
  unit: "% of a core",
  better: "lower",
  note: "Over so many seconds, after Redis was filled.",
  entrants: [10 * dueAtOnce, 0].map((count) => ({
    name: `Callsheet, ${count} jobs`,
    role: "callsheet",
    run: () => idleCost(count, seconds),
  })),
});

async function idleCost(count: number, seconds: number): Promise<Sample> {
  await using service = await startFreshService();
  await withPostgres(service.databaseUrl, (client) =>
    client.query(
      `insert into batch_jobs (organization_id, name, description, from_phone_number_id, status, timezone,
         scheduled_at, scheduled_job_id, concurrent_call_limit, max_attempts, retry_on, retry_delays_ms)
       select (select id from organizations limit 1), 'bench', '', 'pn_1', 'scheduled', 'UTC',
         now() + interval '1 day', gen_random_uuid(), 5, 3, '{busy}', '{300000}' from generate_series(1, $1::int)`,
      [count],
    ),
  );
  await withRedis(service.redisUrl, async (redis) => {
    await redis.unlink("callsheet:{schedule}:sentinel");
    while ((await redis.zcard("callsheet:{schedule}:due")) < count) await delay(100);
  });
  await delay(2_000);
  const before = await cpuSecondsOf(service.pid);
  await delay(seconds * 1_000);
  return { value: (((await cpuSecondsOf(service.pid)) - before) / seconds) * 100 };
}

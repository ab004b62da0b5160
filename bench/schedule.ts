// How long after the times of jobs their workers have them. All of them are there before the first one is due.
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Outcome } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import {
  ContactWorkerService,
  type LeasedContact,
} from "../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { liftLimit } from "./dispatch.ts";
import { type FreshService, commitTimes, startFreshServers, startFreshService } from "./fresh-service.ts";
import { openGrpcClient } from "./grpc-client.ts";
import { cpuSecondsOf, withPostgres, withRedis } from "./measure.ts";
import { type LatePeer, bullmqDelayed, graphileRunAt, pgBossStartAfter } from "./peer-schedule.ts";
import { type Entrant, type Sample, type Sizes, type Workload, at } from "./workload.ts";

export const summary = (lags: readonly number[]): Sample => ({
  value: at(lags, 0.99),
  extra: { "p50, ms": at(lags, 0.5), "least, ms": Math.min(...lags), "most, ms": Math.max(...lags) },
});

/** Far longer than any of them needs. */
const patienceMs = 120_000;

/** How many contacts come due, and when each does. */
export type Due = {
  readonly contacts: number;
  readonly at: (contact: Pick<LeasedContact, "batchJobId" | "number">) => number;
};

/** Has a job of one contact scheduled for each of these times, in Postgres and in Redis. */
async function scheduleJobs({ databaseUrl, redisUrl }: FreshService, times: readonly Date[]): Promise<Due> {
  const jobs = times.map((time) => ({ id: randomUUID(), entry: randomUUID(), time }));
  await withPostgres(databaseUrl, async (client) => {
    await client.query(
      `insert into batch_jobs (id, organization_id, name, description, from_phone_number_id, status, timezone,
         scheduled_at, scheduled_job_id, concurrent_call_limit, max_attempts, retry_on, retry_delays_ms,
         total_contacts, pending_contacts)
       select t.id, o.id, 'bench', '', 'pn_1', 'scheduled', 'UTC', t.at, t.entry, 5, 3, '{busy}', '{300000}', 1, 1
       from organizations o, unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) as t (id, entry, at)`,
      [jobs.map(({ id }) => id), jobs.map(({ entry }) => entry), jobs.map(({ time }) => time)],
    );
    await client.query(
      `insert into contact_blocks (organization_id, job_id, first_number, contacts)
       select o.id, t.id, 1, '+1415' || (5000000 + n) || E'\\t\\t{}'
       from organizations o, unnest($1::uuid[]) with ordinality as t (id, n)`,
      [jobs.map(({ id }) => id)],
    );
    // As it is before long in a database that is in use.
    await client.query("vacuum analyze batch_jobs, contact_blocks");
  });
  await withRedis(redisUrl, async (redis) => {
    for (let first = 0; first < jobs.length; first += 1_000) {
      const some = jobs.slice(first, first + 1_000);
      await redis.zadd(
        "callsheet:{schedule}:due",
        ...some.flatMap(({ entry, time }) => [time.getTime(), entry]),
      );
    }
  });
  if (Date.now() > (times[0]?.getTime() ?? 0)) throw new Error("the first job was due before all were there");
  const due = new Map<string, number>(jobs.map(({ id, time }) => [id, time.getTime()]));
  return { contacts: jobs.length, at: ({ batchJobId }) => due.get(batchJobId) ?? Number.NaN };
}

/** Those of the times that count: what is due before is there to warm up, and the same for all. */
export type Plan = { readonly times: readonly Date[]; readonly countedFrom: number };

export const workers = 8;
const batch = 1_000;

/** How late each contact came to a worker that waited for it. It is reported at once, and its worker waits for more. */
export async function leasedLags(
  service: FreshService,
  due: Due,
  { countedFrom }: Pick<Plan, "countedFrom">,
): Promise<number[]> {
  const { leaseContacts, reportOutcomes } = ContactWorkerService.method;
  const client = openGrpcClient(service.grpcAddress, service.apiKey);
  const lags: number[] = [];
  const until = performance.now() + patienceMs;
  const reports: Promise<unknown>[] = [];
  let left = due.contacts;
  const worker = async (workerId: string) => {
    while (left > 0) {
      if (performance.now() > until) throw new Error(`${left} of ${due.contacts} contacts were not leased`);
      const { contacts } = await client.call(leaseContacts, {
        workerId,
        maxContacts: batch,
        wait: { seconds: 2n, nanos: 0 },
      });
      const now = performance.timeOrigin + performance.now();
      left -= contacts.length;
      for (const contact of contacts) {
        const dueAt = due.at(contact);
        if (dueAt >= countedFrom) lags.push(now - dueAt);
      }
      if (contacts.length > 0) {
        const outcomes = contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
        reports.push(client.call(reportOutcomes, { outcomes }));
      }
    }
  };
  await Promise.all(Array.from({ length: workers }, (_, i) => worker(`w${i}`)));
  await Promise.all(reports);
  client.close();
  return lags;
}

/** How late each start was committed, while nobody waits for contacts. */
async function committedLags(service: FreshService, due: Due, { countedFrom }: Plan): Promise<number[]> {
  return await withPostgres(service.databaseUrl, async (client) => {
    const until = performance.now() + patienceMs;
    for (let left = due.contacts; left > 0;) {
      if (performance.now() > until) throw new Error(`${left} of ${due.contacts} jobs were not started`);
      await delay(500);
      const { rows } = await client.query<{ left: number }>(
        "select count(*)::int as left from batch_jobs where status = 'scheduled'",
      );
      left = rows[0]?.left ?? left;
    }
    const { rows } = await client.query<{ lag: number }>(
      `select 1000 * extract(epoch from pg_xact_commit_timestamp(xmin) - scheduled_at)::float8 as lag
       from batch_jobs where scheduled_at >= $1`,
      [new Date(countedFrom)],
    );
    return rows.map(({ lag }) => lag);
  });
}

type LagsOf = (service: FreshService, due: Due, plan: Plan) => Promise<number[]>;

async function callsheet(lagsOf: LagsOf, make: () => Plan): Promise<Sample> {
  await using service = await startFreshService(lagsOf === committedLags ? commitTimes : {});
  await liftLimit(service);
  const plan = make();
  const due = await scheduleJobs(service, plan.times);
  return summary(await lagsOf(service, due, plan));
}

const inMs = (ms: number): Date => new Date(Date.now() + ms);

/** Some that do not count, then those that do. */
const warmedUp = (warmUp: readonly Date[], counted: readonly Date[]): Plan => ({
  times: [...warmUp, ...counted],
  countedFrom: counted[0]?.getTime() ?? 0,
});

export function spacedPlan(count: number): Plan {
  let time = inMs(2_000).getTime();
  // 10 to 90 ms apart, the same in every run.
  const times = Array.from({ length: count + 30 }, (_, i) => new Date((time += 10 + ((i * 37) % 81))));
  return warmedUp(times.slice(0, 30), times.slice(30));
}

/** A tenth comes due two seconds before. */
function atOncePlan(count: number): Plan {
  const leadMs = 2_000 + count / 10;
  return warmedUp(
    Array<Date>(Math.ceil(count / 10)).fill(inMs(leadMs)),
    Array<Date>(count).fill(inMs(leadMs + 2_000)),
  );
}

const ours = (make: () => Plan): Entrant => ({
  name: `Callsheet, ${workers} workers wait for at most ${batch} each`,
  role: "callsheet",
  run: () => callsheet(leasedLags, make),
});

const committed = (make: () => Plan): Entrant => ({
  name: "Callsheet, only until the start is committed",
  role: "callsheet",
  run: () => callsheet(committedLags, make),
});

const theirs = (peers: Readonly<Record<string, LatePeer>>, make: () => Plan): Entrant[] =>
  Object.entries(peers).map(([name, run]) => ({
    name,
    role: "peer",
    async run() {
      await using servers = await startFreshServers();
      const plan = make();
      const lags = await run(servers, plan.times);
      return summary(lags.flatMap(({ due, lag }) => (due >= plan.countedFrom ? [lag] : [])));
    },
  }));

const peers = {
  "BullMQ 6.7.0, delay, 100 at once": bullmqDelayed,
  "graphile-worker 0.18.0, runAt, polls every 100 ms, fetches 500": graphileRunAt,
  "pg-boss 12.27.0, startAfter, polls every 0.5 s, fetches 5,000": pgBossStartAfter,
};

const note =
  "From the time of a job until the worker that waits has it; it is done with at once. Some are due before those that count. ";

export const spaced = ({ spaced: count }: Sizes): Workload => ({
  name: "lateness",
  title: `Lateness of ${count} jobs spaced 10 to 90 ms, p99`,
  unit: "ms",
  better: "lower",
  note: `${note}Callsheet's workers are gRPC clients of a service in another process, and each of its jobs has one contact.`,
  entrants: [ours(() => spacedPlan(count)), ...theirs(peers, () => spacedPlan(count))],
});

export const atOnce = ({ dueAtOnce: count }: Sizes): Workload => ({
  name: "due-at-once",
  title: `Lateness of ${count} jobs due in the same instant, p99`,
  unit: "ms",
  better: "lower",
  note: `${note}A tenth as many come due two seconds before.`,
  entrants: [
    ours(() => atOncePlan(count)),
    committed(() => atOncePlan(count)),
    ...theirs(peers, () => atOncePlan(count)),
  ],
});

export const manyAtOnce = ({ dueAtOnce }: Sizes): Workload => {
  const count = 10 * dueAtOnce;
  return {
    name: "many-due-at-once",
    title: `Lateness of ${count} jobs due in the same instant, p99`,
    unit: "ms",
    better: "lower",
    note: "As above. The peers that are not here take longer than a run may.",
    entrants: [
      committed(() => atOncePlan(count)),
      ...theirs({ "graphile-worker 0.18.0, runAt, polls every 100 ms, fetches 500": graphileRunAt }, () =>
        atOncePlan(count),
      ),
    ],
  };
};

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

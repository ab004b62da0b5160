// How long after their calling hours begin contacts are with their workers. Time is moved, and not waited for: hours of
// each set of time zones begin when the plan says.
import { setTimeout as delay } from "node:timers/promises";
import { liftLimit } from "./dispatch.ts";
import { twelveZones } from "./contacts.ts";
import { type FreshService, startFreshService } from "./fresh-service.ts";
import { withPostgres } from "./measure.ts";
import { type Due, leasedLags, spacedPlan, summary, workers } from "./schedule.ts";
import { type Sample, type Sizes, type Workload, at } from "./workload.ts";

const week = [1, 2, 3, 4, 5, 6, 7];

/** A job that runs, with a contact in each of so many sets of time zones, and hours. */
async function startJob({ client }: FreshService, sets: number): Promise<string> {
  const { batchJobId } = await client.createBatchJob({
    name: "bench",
    fromPhoneNumberId: "pn_1",
    concurrentCallLimit: 1_000,
    callingHours: { windows: [{ days: week, start: "00:00", end: "24:00" }] },
    contacts: twelveZones
      .slice(0, sets)
      .map((timezone, i) => ({ phone: `+1${4_150_000_000 + i}`, timezone })),
  });
  await client.startBatchJob({ batchJobId });
  return batchJobId;
}

/** Has the hours of a set of a job begin at each of these times, and no others before. */
async function openSets(service: FreshService, times: readonly Date[]): Promise<Due> {
  const jobs = Math.ceil(times.length / twelveZones.length);
  const sets = times.map((time, i) => ({ job: i % jobs, set: 1 + Math.floor(i / jobs), time }));
  const ids: string[] = [];
  for (let job = 0; job < jobs; job += 1) {
    ids.push(await startJob(service, sets.filter((of) => of.job === job).length));
  }
  await withPostgres(service.databaseUrl, async (client) => {
    for (let asleep = true; asleep;) {
      const { rows } = await client.query("select from zone_sets where next_look_at is null limit 1");
      asleep = rows.length > 0;
      if (asleep) await delay(20);
    }
    await client.query(
      `update zone_sets z
       set open_from = t.at, open_until = t.at + interval '1 hour', call_before = t.at + interval '1 hour',
         next_look_at = now() + interval '1 day'
       from unnest($1::uuid[], $2::int[], $3::timestamptz[]) as t (id, zone_set, at)
       where z.job_id = t.id and z.zone_set = t.zone_set`,
      [sets.map(({ job }) => ids[job]), sets.map(({ set }) => set), sets.map(({ time }) => time)],
    );
    await client.query("vacuum analyze batch_jobs, contact_blocks, zone_sets");
  });
  const due = new Map(sets.map(({ job, set, time }) => [`${ids[job]} ${set}`, time.getTime()]));
  return {
    contacts: times.length,
    at: ({ batchJobId, number }) => due.get(`${batchJobId} ${number}`) ?? Number.NaN,
  };
}

/** How late the leases were, by Postgres, of the contacts in sets that opened from a time on. */
const leaseLags = (databaseUrl: string, countedFrom: number): Promise<number[]> =>
  withPostgres(databaseUrl, async (client) => {
    const { rows } = await client.query<{ lag: number }>(
      `select 1000 * extract(epoch from a.leased_at - z.open_from)::float8 as lag
       from all_attempts a join zone_sets z on z.job_id = a.job_id and z.zone_set = a.number
       where z.open_from >= $1`,
      [new Date(countedFrom)],
    );
    return rows.map(({ lag }) => lag);
  });

async function openHours(count: number): Promise<Sample> {
  await using service = await startFreshService();
  await liftLimit(service);
  // The jobs are there a while before the first of their hours begin.
  const leadMs = 5_000 + 20 * count;
  const { times, countedFrom } = spacedPlan(count);
  const later = {
    times: times.map((time) => new Date(time.getTime() + leadMs)),
    countedFrom: countedFrom + leadMs,
  };
  const due = await openSets(service, later.times);
  if (Date.now() > (later.times[0]?.getTime() ?? 0))
    throw new Error("hours began before all jobs were there");
  const { value, extra } = summary(await leasedLags(service, due, later));
  const leased = await leaseLags(service.databaseUrl, later.countedFrom);
  return {
    value,
    extra: { ...extra, "leased p99, ms": at(leased, 0.99), "leased least, ms": Math.min(...leased) },
  };
}

export const opening = ({ spaced: count }: Sizes): Workload => ({
  name: "openings",
  title: `Lateness of ${count} sets of time zones whose hours begin 10 to 90 ms apart, p99`,
  unit: "ms",
  better: "lower",
  note: "From the beginning of hours until a worker that waits has the contact. Jobs have twelve sets, each with a contact; time is moved. Some begin before those that count.",
  entrants: [{ name: `Callsheet, ${workers} workers wait`, role: "callsheet", run: () => openHours(count) }],
});

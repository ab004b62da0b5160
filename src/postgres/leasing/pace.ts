import { type RawBuilder, sql } from "kysely";

/*
 * The pace of leases, as open_leases.sql keeps it, for those who look before and without a lock. What a row says is of
 * one call after the other: the next may begin at an instant, and each moves that on by the time that the pace has
 * between two.
 */

/** So much of the time that nobody asked in is made up for: 1.5 % of ten seconds. */
const slackMs = 150;

/** Whoever waits for the next call of a fast pace has some that come together: 50 turns a second are enough. */
const leastWaitMs = 20;

const now = sql`clock_timestamp()`;

/** How many calls may begin now by the pace of a row; null for one without a pace. */
export const callsAllowed = (of: string): RawBuilder<number | null> => {
  const [rate, next] = [sql.ref(`${of}.calls_per_second`), sql.ref(`${of}.next_call_at`)];
  return sql`case
    when ${rate} is null then null
    when ${next} is null then 1
    when ${next} > ${now} then 0
    else 1 + floor(extract(epoch from least(${now} - ${next}, interval '${sql.raw(String(slackMs))} ms')) * ${rate})
  end::int`;
};

/** When the next call may begin that could not at an earlier time; null if one could, or there is no pace. */
export const nextCall = (of: string, since: RawBuilder<Date>): RawBuilder<Date | null> => {
  const [rate, next] = [sql.ref(`${of}.calls_per_second`), sql.ref(`${of}.next_call_at`)];
  return sql`case when ${rate} is not null and ${next} > ${since} then
    greatest(${next} + interval '1 ms', ${now} + interval '${sql.raw(String(leastWaitMs))} ms') end`;
};

/** How many calls a job may have at once now, while its limit grows. */
export const limitNow = (of: string): RawBuilder<number> => {
  const column = (name: string) => sql.ref(`${of}.${name}`);
  return sql`case
    when ${column("ramp_up_ms")} is null then ${column("concurrent_call_limit")}
    else least(${column("concurrent_call_limit")}, 1 + floor((${column("concurrent_call_limit")} - 1)
      * extract(epoch from ${now} - ${column("started_at")}) * 1000 / ${column("ramp_up_ms")}))
  end::int`;
};

/** When a job whose limit grows may have one call more than are dialing; null if it could, or grows no further. */
export const nextRoom = (of: string, since: RawBuilder<Date>): RawBuilder<Date | null> => {
  const column = (name: string) => sql.ref(`${of}.${name}`);
  const [limit, dialing] = [column("concurrent_call_limit"), column("dialing_contacts")];
  const at = sql`${column("started_at")} + interval '1 ms' *
    (1 + ceil(${column("ramp_up_ms")}::float8 * ${dialing} / nullif(${limit} - 1, 0)))`;
  return sql`case when ${dialing} < ${limit} and ${at} > ${since} then ${at} end`;
};

/** When the next call may begin after a change of the pace: no later than the new one says. */
export const nextCallAt = (rate: number | null): RawBuilder<Date | null> =>
  rate === null
    ? sql`null::timestamptz`
    : sql`least(next_call_at, ${now} + interval '1 second' / ${rate}::float8)`;

import { sql } from "kysely";
import type { ContactInput } from "../domain/contact.ts";
import type { LeaseKey } from "../domain/lease-id.ts";
import { lineOf, readContact } from "./contact-blocks.ts";
import type { Database } from "./database.ts";
import { asRows, nameOf, plainArray } from "./lease-rows.ts";

export type StoredLease = LeaseKey & ContactInput & { expiresAt: Date };

/** What one job may give: so many retries that are due, and these numbers from its list, none of them twice. */
export type Offer = { jobId: string; due: number; numbers: readonly number[] };

/** Who gets leases, how many at most, and for how long. */
export type LeaseTaker = { workerId: string; requestId: string; most: number; durationMs: number };

export type Opened = {
  /** The leases of each taker, in its place. */
  leases: StoredLease[][];
  /** The numbers of each offer that are open and had no room. Those that are neither here nor leased were not open. */
  left: number[][];
  /** The places of the takers whose request id has live leases. They get no others. */
  repeated: number[];
};

/**
 * Leases as many of the offered contacts to the takers as are open and as both limits leave room for: retries first,
 * then the lists, in the order of the offers. One round trip and one commit.
 */
export async function openLeases(
  db: Database,
  organizationId: string,
  offers: readonly Offer[],
  takers: readonly LeaseTaker[],
): Promise<Opened> {
  const { rows } = await sql<{
    job: number;
    number: number | null;
    nonce: number | null;
    attempt: number;
    caller: number;
    leasedMs: number;
    contact: string;
  }>`
    select job, number, nonce, attempt, caller, leased_ms as "leasedMs", contact from open_leases(
      ${organizationId}, ${plainArray(offers.map((o) => o.jobId))}, ${plainArray(offers.map((o) => o.due))},
      ${plainArray(offers.flatMap((o, i) => o.numbers.map(() => i + 1)))},
      ${plainArray(offers.flatMap((o) => o.numbers))},
      ${plainArray(takers.flatMap((c, i) => Array.from({ length: c.most }, () => i + 1)))},
      ${takers.map((c) => c.workerId)}, ${takers.map((c) => c.requestId)},
      ${plainArray(takers.map((c) => c.durationMs))}
    )
  `.execute(db);
  const leases = takers.map((): StoredLease[] => []);
  const left = offers.map((): number[] => []);
  const repeated: number[] = [];
  for (const { job, number, nonce, attempt, caller, leasedMs, contact } of rows) {
    if (number === null) repeated.push(caller - 1);
    else if (nonce === null) left[job - 1]?.push(number);
    else
      leases[caller - 1]?.push({
        jobId: offers[job - 1]?.jobId ?? "",
        number,
        attempt,
        nonce,
        expiresAt: new Date(leasedMs + (takers[caller - 1]?.durationMs ?? 0)),
        ...readContact(contact),
      });
  }
  return { leases, left, repeated };
}

/** The live leases that were opened under a request id, in the order of their contacts. */
export async function findLeases(
  db: Database,
  organizationId: string,
  requestId: string,
): Promise<StoredLease[]> {
  const rows = await db
    .selectFrom("leases as l")
    .innerJoin("batch_jobs as j", "j.id", "l.job_id")
    .select([
      "l.job_id as jobId",
      "l.number",
      "l.attempt",
      "l.nonce",
      "l.expires_at as expiresAt",
      lineOf(sql.ref("l.job_id"), sql.ref("l.number")).as("line"),
    ])
    .where("j.organization_id", "=", organizationId)
    .where("l.request_id", "=", requestId)
    .where("l.request_id", "<>", "")
    .where("l.expires_at", ">", sql<Date>`clock_timestamp()`)
    .orderBy("l.job_id")
    .orderBy("l.number")
    .execute();
  return rows.map(({ line, ...lease }) => ({ ...lease, ...readContact(line ?? "") }));
}

/** Puts off the end of those of the leases that are live; answers the new end of each. */
export async function extendLeases(
  db: Database,
  organizationId: string,
  keys: readonly LeaseKey[],
  durationMs: number,
): Promise<(Date | undefined)[]> {
  const { rows } = await sql<LeaseKey & { expiresAt: Date }>`
    update leases l
    set expires_at = clock_timestamp() + ${durationMs} * interval '1 millisecond'
    from (
      select o.job_id, o.number from ${asRows(keys)}
      cross join lateral (
        select job_id, number from leases
        where job_id = g.job_id and number = g.number and nonce = g.nonce
          and (select organization_id from batch_jobs where id = g.job_id) = ${organizationId}
        for no key update
      ) as o
      order by o.job_id, o.number
    ) as mine
    where l.job_id = mine.job_id and l.number = mine.number and l.expires_at > clock_timestamp()
    returning l.job_id as "jobId", l.number, l.attempt, l.nonce, l.expires_at as "expiresAt"
  `.execute(db);
  const ends = new Map(rows.map((row) => [nameOf(row), row.expiresAt]));
  return keys.map((key) => ends.get(nameOf(key)));
}

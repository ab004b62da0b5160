import { type RawBuilder, sql } from "kysely";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import type { SuppressedPhone, SuppressedPhoneInput } from "../../domain/contacts/suppressed-phone.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "../connections/database.ts";
import { functions } from "../functions/functions.ts";
import { plainArray } from "../leasing/lease-rows.ts";

/*
 * The phones that an organization has nobody call. A phone is kept as in contact_phones, as the number that it is.
 *
 * Whoever leases has the organization's row locked when it looks here. So a transaction that adds phones locks that row
 * too, after it has written them: leases that were being opened meanwhile, and did not see them, are committed before
 * it is, and those that come later see them. Removing locks it for the count alone.
 */

/** Postgres takes it for a time after all others. */
const forEver = "infinity";

const inDigits = (phone: string): string => phone.slice(1);
const timeNow = sql<Date>`(select clock_timestamp())`;

/** How many phones were not on the list, how many rows there are more, and how many were written in all. */
type Written = { added: number; more: number; written: number };

/**
 * Puts the phones on the list of an organization, and locks its row. Of two entries for a phone the one that lasts
 * longer holds; what is there so already is not written. In the order of phones nobody waits for another in the middle,
 * and the same pages are come upon again. Answers how many are on the list now that were not.
 */
export async function addSuppressed(
  trx: Trx,
  organizationId: number,
  phones: readonly SuppressedPhoneInput[],
): Promise<number> {
  const given = lastingLongest(phones);
  const { added, more, written } =
    (await writeNew(trx, organizationId, given)) ?? (await writeAll(trx, organizationId, given));
  if (written > 0) await count(trx, organizationId, more);
  return added;
}

/** Writes those of the entries that say something else than what is there. */
async function writeAll(
  trx: Trx,
  organizationId: number,
  given: readonly SuppressedPhoneInput[],
): Promise<Written> {
  const { rows } = await sql<Written>`
    with given as materialized (
      select * from ${asEntries(given)}
    ), changed as materialized (
      select g.phone, g.reason, g.expires_at, known.expires_at as known_until
      from given g
      left join lateral (
        select s.reason, s.expires_at from suppressed_phones s
        where s.organization_id = ${organizationId} and s.phone = g.phone limit 1
      ) as known on true
      where known.expires_at is null or known.expires_at < g.expires_at
        or (known.expires_at = g.expires_at and known.reason <> g.reason)
      order by g.phone
    ), written as (
      insert into suppressed_phones as s (organization_id, phone, added_at, expires_at, reason)
      select ${organizationId}, phone, ${timeNow}, expires_at, reason from changed
      on conflict (organization_id, phone) do update set
        added_at = excluded.added_at,
        reason = case when s.expires_at > excluded.expires_at then s.reason else excluded.reason end,
        expires_at = greatest(s.expires_at, excluded.expires_at)
      -- A row that was there has been locked by this transaction.
      returning s.xmax = 0 as is_new
    )
    select (select count(*)::int from written) as written,
      (select count(*)::int from written where is_new) as more,
      (select count(*)::int from changed where known_until is null or known_until <= ${timeNow}) as added
  `.execute(trx);
  return rows[0] ?? { added: 0, more: 0, written: 0 };
}

/** Of the entries for each phone the one that lasts longest, of those the last; in the order of phones. */
function lastingLongest(phones: readonly SuppressedPhoneInput[]): SuppressedPhoneInput[] {
  const kept = new Map<number, SuppressedPhoneInput>();
  for (const entry of phones) {
    const phone = Number(inDigits(entry.phone));
    const other = kept.get(phone);
    if (other === undefined || (entry.expiresMs ?? Infinity) >= (other.expiresMs ?? Infinity))
      kept.set(phone, entry);
  }
  return [...Float64Array.from(kept.keys()).toSorted()].flatMap((phone) => kept.get(phone) ?? []);
}

/** Entries as rows; what all have in common is given once. */
function asEntries(entries: readonly SuppressedPhoneInput[]): RawBuilder<unknown> {
  const [first] = entries;
  const phones = sql`${plainArray(entries.map(({ phone }) => inDigits(phone)))}::bigint[]`;
  if (entries.every((entry) => entry.reason === first?.reason && entry.expiresMs === first.expiresMs)) {
    return sql`(
      select phone, ${first?.reason ?? ""}::text as reason, ${expiryOf(first)}::timestamptz as expires_at
      from unnest(${phones}) as p (phone)
    ) as g`;
  }
  const reasons = entries.map(({ reason }) => reason);
  return sql`unnest(${phones}, ${reasons}::text[], ${plainArray(entries.map(expiryOf))}::timestamptz[])
    as g (phone, reason, expires_at)`;
}

const expiryOf = (entry: SuppressedPhoneInput | undefined): string =>
  entry?.expiresMs === undefined ? forEver : new Date(entry.expiresMs).toISOString();

/** One of so many entries is looked up to tell whether all may be new. */
const sampled = 100;

/** True if those of the entries that are looked up are of phones that have none. */
async function mayBeNew(
  trx: Trx,
  organizationId: number,
  entries: readonly SuppressedPhoneInput[],
): Promise<boolean> {
  const sample = entries.filter((_, i) => i % sampled === 0).map(({ phone }) => inDigits(phone));
  const { rows } = await sql`
    select g.phone from unnest(${plainArray(sample)}::bigint[]) as g (phone)
    cross join lateral (
      select from suppressed_phones where organization_id = ${organizationId} and phone = g.phone limit 1
    ) as s
    limit 1
  `.execute(trx);
  return rows.length === 0;
}

/**
 * Writes many entries of phones of which none has one, which are looked for as they are written, and not before;
 * undefined, with nothing written, if some have. Whoever went on with those would lock rows out of order.
 */
async function writeNew(
  trx: Trx,
  organizationId: number,
  entries: readonly SuppressedPhoneInput[],
): Promise<Written | undefined> {
  const { length } = entries;
  if (length <= sampled || !(await mayBeNew(trx, organizationId, entries))) return undefined;
  const phones = plainArray(entries.map(({ phone }) => inDigits(phone)));
  const reasons = oneOrEach(entries.map(({ reason }) => reason));
  const expiries = plainArray(oneOrEach(entries.map(expiryOf)));
  const { rows } = await sql<{ areNew: boolean }>`
    select ${sql.id(functions.addNewPhones.name)}(${organizationId}, ${phones}, ${reasons}, ${expiries}) as "areNew"
  `.execute(trx);
  return rows[0]?.areNew === true ? { added: length, more: length, written: length } : undefined;
}

/** Those of each, or one, if it is that of all. */
const oneOrEach = (values: readonly string[]): readonly string[] =>
  values.every((value) => value === values[0]) ? values.slice(0, 1) : values;

/** Notes so many phones more, or fewer, in the organization's row, which is locked from then on. */
async function count(trx: Trx, organizationId: number, more: number): Promise<void> {
  const { rows } = await sql<{ stored: number; limit: number | null }>`
    update organizations set suppressed_phones = suppressed_phones + ${more}::int where id = ${organizationId}
    returning suppressed_phones as stored, suppressed_phone_limit as "limit"
  `.execute(trx);
  const { stored = 0, limit = null } = rows[0] ?? {};
  if (more <= 0 || limit === null || stored <= limit) return;
  const free = Math.max(0, limit - (stored - more));
  throw new BatchJobError(
    "limit_exceeded",
    `The organization may suppress ${limit} phones and has ${stored - more}: add at most ${free}, remove some, or have an admin raise suppressed_phone_limit.`,
    { limit: String(limit), stored: String(stored - more), free: String(free) },
  );
}

/** Takes the phones off the list; answers how many were on it. */
export async function removeSuppressed(
  trx: Trx,
  organizationId: number,
  phones: readonly string[],
): Promise<number> {
  const { rows } = await sql<{ rows: number; removed: number }>`
    with given as materialized (
      select distinct g.phone from unnest(${plainArray(phones.map(inDigits))}::bigint[]) as g (phone)
      order by g.phone
    ), locked as materialized (
      select s.phone from given g
      cross join lateral (
        select phone from suppressed_phones where organization_id = ${organizationId} and phone = g.phone
        limit 1 for update
      ) as s
    ), removed as (
      delete from suppressed_phones s using locked l
      where s.organization_id = ${organizationId} and s.phone = l.phone
      returning s.expires_at
    )
    select count(*)::int as rows, (count(*) filter (where expires_at > ${timeNow}))::int as removed from removed
  `.execute(trx);
  const { rows: fewer, removed } = rows[0] ?? { rows: 0, removed: 0 };
  if (fewer > 0) await count(trx, organizationId, -fewer);
  return removed;
}

type Row = { phone: number; reason: string; addedAt: Date; expiresAt: Date | null };

const columns = sql`phone, reason, added_at as "addedAt", nullif(expires_at, 'infinity') as "expiresAt"`;
const isOnList = sql`expires_at > ${timeNow}`;

const toSuppressed = ({ phone, ...row }: Row): SuppressedPhone => ({
  phone: `+${phone}`,
  ...row,
  isErased: false,
});

/** The entries of those of the phones that are on the list. */
export async function findSuppressed(
  db: Database,
  organizationId: number,
  phones: readonly string[],
): Promise<SuppressedPhone[]> {
  const { rows } = await sql<Row>`
    select s.* from unnest(${plainArray(phones.map(inDigits))}::bigint[]) as g (phone)
    cross join lateral (
      select ${columns} from suppressed_phones
      where organization_id = ${organizationId} and phone = g.phone and ${isOnList} limit 1
    ) as s
  `.execute(db);
  return rows.map(toSuppressed);
}

/**
 * The first `size` entries after a phone, by phone, all or those with a reason; at most `mostLookedAt` are looked at.
 * The list goes on after `goesOnAfter`; undefined at its end.
 */
export async function listSuppressed(
  db: Database,
  organizationId: number,
  reason: string,
  { after, size, mostLookedAt }: { after: number; size: number; mostLookedAt: number },
): Promise<{ phones: SuppressedPhone[]; goesOnAfter: number | undefined }> {
  const isAsked: RawBuilder<unknown> = reason === "" ? sql`true` : sql`reason = ${reason}`;
  const { rows } = await sql<{ looked: number; last: number | null } & (Row | { phone: null })>`
    with looked as materialized (
      select * from suppressed_phones
      where organization_id = ${organizationId} and phone > ${after}::bigint
      order by phone limit ${mostLookedAt}
    )
    select l.looked, l.last, found.* from (select count(*)::int as looked, max(phone) as last from looked) as l
    left join (
      select ${columns} from looked where ${isOnList} and ${isAsked} order by phone limit ${size + 1}
    ) as found on true
    order by found.phone
  `.execute(db);
  const found = rows.flatMap((row) => (row.phone === null ? [] : [row]));
  const shown = found
    .slice(0, size)
    .map(({ phone, reason: why, addedAt, expiresAt }) =>
      toSuppressed({ phone, reason: why, addedAt, expiresAt }),
    );
  if (found.length > size) return { phones: shown, goesOnAfter: found[size - 1]?.phone };
  const [{ looked, last } = { looked: 0, last: null }] = rows;
  return { phones: shown, goesOnAfter: looked < mostLookedAt ? undefined : (last ?? undefined) };
}

/** Up to `limit` organizations that have entries which have expired. */
export async function organizationsWithExpiredPhones(db: Database, limit: number): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select id from organizations o
    where exists (
      select from suppressed_phones
      where organization_id = o.id and expires_at < 'infinity' and expires_at <= ${timeNow})
    limit ${limit}
  `.execute(db);
  return rows.map(({ id }) => id);
}

/** Removes up to `size` entries of an organization that have expired; answers how many. */
export async function purgeExpiredPhones(
  db: Database,
  organizationId: number,
  size: number,
): Promise<number> {
  return await db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ purged: number }>`
      with expired as materialized (
        select phone from suppressed_phones
        where organization_id = ${organizationId} and expires_at < 'infinity' and expires_at <= ${timeNow}
        limit ${size} for update skip locked
      ), removed as (
        delete from suppressed_phones s using expired e
        where s.organization_id = ${organizationId} and s.phone = e.phone
        returning s.phone
      )
      select count(*)::int as purged from removed
    `.execute(trx);
    const purged = rows[0]?.purged ?? 0;
    if (purged > 0) await count(trx, organizationId, -purged);
    return purged;
  });
}

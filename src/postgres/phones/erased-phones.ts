import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type RawBuilder, sql } from "kysely";
import { BatchJobError, serviceBusy } from "../../domain/batch-job-error.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import { phoneNumber } from "../contacts/contact-blocks.ts";
import type { Database } from "../connections/database.ts";
import { plainArray } from "../leasing/lease-rows.ts";

/*
 * The phones that an organization has erased are known by a keyed hash. Whoever adds contacts, or phones, takes part in
 * a lock of the organization first, which keeps nobody out, and then looks whether anybody was erased: so whoever
 * erases knows, once the hash is committed, whom to wait for, and that all who come later know it.
 */

/** What phones are hashed with. All replicas of a database have the same. */
export type ErasureKey = {
  readonly bytes: Buffer;
  /** Tells it from others, and nothing of it. */
  readonly hash: Buffer;
};

const sha256 = (...parts: (string | Buffer)[]): Buffer =>
  parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();

export function readErasureKey(setting: string): ErasureKey {
  const bytes = sha256("callsheet erasure key", setting);
  return { bytes, hash: sha256("callsheet erasure key hash", bytes) };
}

function onlyOf<T>([row]: readonly T[]): T {
  if (row === undefined) throw new Error("Postgres answered no row");
  return row;
}

/** The hash of a phone, which is a number, in SQL. All that is hashed has the same length. */
const hashOf = ({ bytes }: ErasureKey, organizationId: number, phone: RawBuilder<unknown>) =>
  sql`sha256(${bytes}::bytea || int4send(${organizationId}::int) || int8send(${phone}))`;

/**
 * Records the key of the first replica, and refuses another, or none, once a phone was erased: who was erased would be
 * known no more.
 */
export async function keepErasureKey(db: Database, key: ErasureKey | undefined): Promise<void> {
  if (key !== undefined) {
    await sql`
      update installation set erasure_key_hash = ${key.hash}
      where erasure_key_hash is distinct from ${key.hash} and not exists (select from erased_phones)
    `.execute(db);
  }
  const { rows } = await sql<{ isUsed: boolean; isSame: boolean }>`
    select exists (select from erased_phones) as "isUsed",
      coalesce(erasure_key_hash = ${key?.hash ?? null}::bytea, false) as "isSame"
    from installation
  `.execute(db);
  const { isUsed, isSame } = onlyOf(rows);
  if (!isUsed || isSame) return;
  throw new Error(
    `ERASURE_KEY is ${key === undefined ? "not set" : "another one"}, but phones were erased from this database with it; set it to what the other replicas have.`,
  );
}

/** The lock in which all take part who add contacts to an organization, or phones. */
const adders = 0x43534144;

/** The phones that an organization has erased, where it has any. */
export type ErasedPhones = { readonly organizationId: number; readonly key: ErasureKey };

/**
 * Has the transaction among those that add, until its end: whoever erases a phone that it does not know of yet waits
 * for it. Undefined if nobody was erased.
 */
export async function joinAdders(
  trx: Trx,
  organizationId: number,
  key: ErasureKey | undefined,
): Promise<ErasedPhones | undefined> {
  // They go to Postgres together, and come after each other there: the second one sees what was committed by then.
  const [, erased] = await Promise.all([
    sql`select pg_advisory_xact_lock_shared(${sql.lit(adders)}, ${organizationId}::int)`.execute(trx),
    readErased(trx, organizationId, key),
  ]);
  return erased;
}

/** The phones that an organization has erased by now; undefined if nobody was. */
export async function readErased(
  db: Database,
  organizationId: number,
  key: ErasureKey | undefined,
): Promise<ErasedPhones | undefined> {
  const { rows } = await sql<{ isOne: boolean; isKey: boolean }>`
    select o.erased_phones > 0 as "isOne",
      coalesce(i.erasure_key_hash = ${key?.hash ?? null}::bytea, false) as "isKey"
    from organizations o left join installation i on true where o.id = ${organizationId}
  `.execute(db);
  const { isOne, isKey } = onlyOf(rows);
  if (!isOne) return undefined;
  if (key === undefined || !isKey) throw keyIsMissing;
  return { organizationId, key };
}

const keyIsMissing = new BatchJobError(
  "unavailable",
  "This replica does not have the ERASURE_KEY with which phones were erased; try again, or set it.",
);

/**
 * Whether a phone was erased, in SQL; false for null. It is a look-up of each: as a join it would compare each phone,
 * hashed each time, with all that were erased.
 */
export const isErased = ({ organizationId, key }: ErasedPhones, phone: RawBuilder<unknown>) => sql<boolean>`((
  select hash from erased_phones
  where organization_id = ${organizationId} and hash = ${hashOf(key, organizationId, phone)} limit 1
) is not null)`;

/** Those of the phones that were erased, and when. */
export async function readErasedAt(
  db: Database,
  erased: ErasedPhones | undefined,
  phones: readonly string[],
): Promise<ReadonlyMap<string, Date>> {
  if (erased === undefined || phones.length === 0) return new Map();
  const { organizationId, key } = erased;
  const { rows } = await sql<{ phone: string; erasedAt: Date }>`
    select '+' || g.phone as phone, e.erased_at as "erasedAt"
    from unnest(${plainArray(phones.map((phone) => phone.slice(1)))}::bigint[]) as g (phone)
    cross join lateral (
      select erased_at from erased_phones
      where organization_id = ${organizationId} and hash = ${hashOf(key, organizationId, sql`g.phone`)} limit 1
    ) as e
  `.execute(db);
  return new Map(rows.map(({ phone, erasedAt }) => [phone, erasedAt]));
}

/** Those of the phones that were erased. */
export const findErased = async (
  trx: Trx,
  erased: ErasedPhones | undefined,
  phones: readonly string[],
): Promise<ReadonlySet<string>> => new Set((await readErasedAt(trx, erased, phones)).keys());

/** Enters a phone among the erased ones; nothing changes if it is known there. From its commit on nobody adds it. */
export async function insertErased(
  trx: Trx,
  { organizationId, key }: ErasedPhones,
  phone: string,
): Promise<"new" | "known"> {
  const { rows: same } = await sql`select from installation where erasure_key_hash = ${key.hash}`.execute(
    trx,
  );
  if (same.length === 0) throw keyIsMissing;
  const { rows } = await sql`
    insert into erased_phones (organization_id, hash)
    values (${organizationId}, ${hashOf(key, organizationId, phoneNumber(phone))})
    on conflict do nothing returning hash
  `.execute(trx);
  if (rows.length === 0) return "known";
  await sql`update organizations set erased_phones = erased_phones + 1 where id = ${organizationId}`.execute(
    trx,
  );
  return "new";
}

/** Counts contacts as erased with a phone; answers how many there are in all. */
export async function countErased(
  trx: Trx,
  { organizationId, key }: ErasedPhones,
  phone: string,
  more: number,
): Promise<number> {
  const { rows } = await sql<{ contacts: number }>`
    update erased_phones set contacts = contacts + ${more}::int
    where organization_id = ${organizationId}
      and hash = ${hashOf(key, organizationId, phoneNumber(phone))}
    returning contacts
  `.execute(trx);
  return onlyOf(rows).contacts;
}

const pauseMs = 20;
/** A file of millions is written in less. */
const patienceMs = 120_000;

/** Waits until those who add contacts, or phones, to the organization now have ended; others may come meanwhile. */
export async function awaitAdders(db: Database, organizationId: number): Promise<void> {
  const read = async () => {
    const { rows } = await sql<{ transaction: string }>`
      select virtualtransaction as transaction from pg_locks
      where locktype = 'advisory' and classid = ${sql.lit(adders)}::oid and objid = ${organizationId}::oid
        and objsubid = 2 and database = (select oid from pg_database where datname = current_database())
    `.execute(db);
    return rows.map(({ transaction }) => transaction);
  };
  const patienceEnds = performance.now() + patienceMs;
  let awaited = await read();
  while (awaited.length > 0) {
    if (performance.now() > patienceEnds) throw serviceBusy();
    await delay(pauseMs);
    const still = new Set(await read());
    awaited = awaited.filter((transaction) => still.has(transaction));
  }
}

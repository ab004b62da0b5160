import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { enterPhones, holdOffAll } from "../../src/postgres/contacts/adding.ts";
import { isPostgresUnavailable, openDatabase } from "../../src/postgres/connections/database.ts";
import type { BatchJobRow } from "../../src/postgres/schema/tables.ts";
import { eventually } from "../support/eventually.ts";
import { useFreshParts } from "../support/fresh.ts";
import { makeContacts, makeJob, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";

const freshParts = useFreshParts();

const phonesOf = async ({ db }: Parts, jobId: string): Promise<string[]> => {
  const rows = await db.selectFrom("contact_phones").select("phone").where("job_id", "=", jobId).execute();
  return rows.map(({ phone }) => `+${phone}`).toSorted();
};

/** A job as a file leaves it that was its first contacts. */
async function makeFromFile(parts: Parts, contacts: number) {
  const job = await makeJob(parts, { contacts });
  await parts.db.deleteFrom("contact_phones").where("job_id", "=", job.id).execute();
  await parts.db.updateTable("batch_jobs").set({ has_all_phones: false }).where("id", "=", job.id).execute();
  return job;
}

const hasAll = async ({ db }: Parts, id: string) =>
  await db.selectFrom("batch_jobs").select("has_all_phones").where("id", "=", id).executeTakeFirst();

/**
 * A transaction that has entered this phone and does not end before it is told to; then it is as if it had not been.
 */
async function holdPhone(parts: Parts, job: BatchJobRow, phone: string) {
  const trx = await parts.db.startTransaction().execute();
  await trx
    .insertInto("contact_phones")
    .values({ organization_id: job.organization_id, job_id: job.id, phone: Number(phone) })
    .execute();
  const letGo = async (): Promise<void> => {
    if (!trx.isCommitted && !trx.isRolledBack) await trx.rollback().execute();
  };
  return { letGo, [Symbol.asyncDispose]: letGo };
}

describe("the phones of a job", () => {
  test("are entered some at a time, each once, and no other job's", async () => {
    await using parts = await freshParts();
    const [job, other] = [await makeFromFile(parts, 10), await makeFromFile(parts, 2)];
    expect(await enterPhones(parts.db, job.organization_id, job.id, { most: 3, least: 3 })).toBe(true);
    const expected = makeContacts(10).map(({ phone }) => phone);
    expect(await phonesOf(parts, job.id)).toEqual(expected);
    expect(await hasAll(parts, job.id)).toEqual({ has_all_phones: true });
    expect(await enterPhones(parts.db, job.organization_id, job.id, { most: 3, least: 3 })).toBe(true);
    expect(await phonesOf(parts, job.id)).toEqual(expected);
    expect(await phonesOf(parts, other.id)).toEqual([]);
  });

  test("are entered from where an interruption left them, each once", async () => {
    await using parts = await freshParts();
    const job = await makeFromFile(parts, 10);
    const phones = makeContacts(10).map(({ phone }) => phone);
    const steps = { most: 3, least: 3 };
    // Whoever enters the eighth phone waits for this transaction.
    await using holder = await holdPhone(parts, job, phones[7] ?? "");
    const entering = enterPhones(parts.db, job.organization_id, job.id, steps).catch(
      (error: unknown) => error,
    );
    await eventually(async () => {
      const { rows } = await sql<{ ended: boolean }>`
        select pg_terminate_backend(pid) as ended from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '%insert into contact_phones%'
      `.execute(parts.db);
      expect(rows).toEqual([{ ended: true }]);
    });
    expect(isPostgresUnavailable(await entering)).toBe(true);
    await holder.letGo();
    expect(await phonesOf(parts, job.id)).toEqual(phones.slice(0, 6));
    expect(await hasAll(parts, job.id)).toEqual({ has_all_phones: false });

    expect(await parts.jobs.addContacts(onJob(parts, job.id), makeContacts(4, 8))).toMatchObject({
      acceptedCount: 2,
      rejected: [
        { index: 0, reason: "duplicate_phone" },
        { index: 1, reason: "duplicate_phone" },
      ],
    });
    expect(await phonesOf(parts, job.id)).toEqual(makeContacts(12).map(({ phone }) => phone));
  });

  test("are entered fewer at a time where a statement's time does not suffice", async () => {
    await using parts = await freshParts();
    const job = await makeFromFile(parts, 64);
    await using hurried = openDatabase({ url: parts.databaseUrl, poolSize: 1, statementTimeoutMs: 800 });
    await sql`create function dawdle() returns trigger language plpgsql as
      $$ begin perform pg_sleep(0.02); return new; end $$`.execute(parts.db);
    await sql`create trigger dawdle before insert on contact_phones for each row execute function dawdle()`.execute(
      parts.db,
    );
    try {
      expect(await enterPhones(hurried, job.organization_id, job.id, { most: 64, least: 1 })).toBe(true);
    } finally {
      await sql`drop function dawdle cascade`.execute(parts.db);
    }
    expect(await phonesOf(parts, job.id)).toEqual(makeContacts(64).map(({ phone }) => phone));
  });

  test("are left alone while somebody adds to the job", async () => {
    await using parts = await freshParts();
    const job = await makeFromFile(parts, 3);
    await parts.db.transaction().execute(async (trx) => {
      await holdOffAll(trx, job.id);
      expect(await enterPhones(parts.db, job.organization_id, job.id)).toBe(false);
    });
    expect(await phonesOf(parts, job.id)).toEqual([]);
    expect(await enterPhones(parts.db, job.organization_id, job.id)).toBe(true);
  });

  test("are not left behind by a job that is deleted meanwhile", async () => {
    await using parts = await freshParts();
    const job = await makeFromFile(parts, 3);
    const waiting = sql<{ count: number }>`
      select count(*)::int as count from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query like 'update "batch_jobs"%'`;
    let entering: Promise<unknown> = Promise.resolve();
    await parts.db.transaction().execute(async (trx) => {
      await trx
        .deleteFrom("batch_jobs")
        .where("organization_id", "=", job.organization_id)
        .where("id", "=", job.id)
        .execute();
      entering = refusal(enterPhones(parts.db, job.organization_id, job.id));
      await eventually(async () => expect((await waiting.execute(parts.db)).rows).toEqual([{ count: 1 }]));
    });
    expect(await entering).toMatchObject({ reason: "job_not_found" });
    expect(await phonesOf(parts, job.id)).toEqual([]);
  });
});

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Client } from "pg";
import { describe, expect, inject, test } from "vitest";
import { hashApiKey } from "../../src/domain/api-key.ts";
import { runExpiryPass } from "../../src/leasing/expiry.ts";
import { migrate, migrations } from "../../src/postgres/migrate.ts";
import { runSchedulerPass } from "../../src/starting/scheduler.ts";
import { lease, reportAll } from "../leasing/leases.ts";
import { createEmptyDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { root } from "../support/readme.ts";
import { settle, sweep } from "../starting/sweep/passes.ts";

/*
 * Every schema that a release has left in databases, with data in it, is brought up to date. releases/dump.ts tells how
 * to add the one of a new release.
 */
const releases = readdirSync(join(import.meta.dirname, "releases"))
  .filter((file) => file.endsWith(".sql"))
  .map((file) => ({ from: file.replace(".sql", ""), file }));

async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const query = (url: string, text: string): Promise<Record<string, unknown>[]> =>
  withClient(url, async (client) => (await client.query(text)).rows);

/** A database as a release has left it, or an empty one. */
async function startFrom(file: string | undefined) {
  const database = await createEmptyDatabase();
  const dump = file && readFileSync(join(import.meta.dirname, "releases", file), "utf8");
  if (dump !== undefined) await query(database.url, dump);
  return database;
}

/** Every column, constraint and index, as text. */
async function schemaOf(url: string): Promise<string[]> {
  const rows = await query(
    url,
    `select format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) as line
       from information_schema.columns where table_schema = 'public'
     union all
     select format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
       from pg_constraint where connamespace = 'public'::regnamespace
     union all
     select indexdef from pg_indexes where schemaname = 'public'`,
  );
  return rows.map(({ line }) => String(line)).toSorted();
}

const applied = async (url: string): Promise<unknown[]> =>
  (await query(url, "select name from schema_migrations order by name")).map(({ name }) => name);

const starts = [{ from: "an empty database", file: undefined }, ...releases];

describe.each(starts)("from $from", ({ file }) => {
  test("three replicas at once bring the schema up to date, once", async () => {
    await using database = await startFrom(file);
    await Promise.all([migrate(database.url), migrate(database.url), migrate(database.url)]);
    expect(await applied(database.url)).toEqual(Object.keys(migrations));
    expect(await schemaOf(database.url)).toEqual(await schemaOf(inject("databaseUrl")));
  });

  test("a replica that is killed in the middle leaves nothing half done, and those who wait go on", async () => {
    await using database = await startFrom(file);
    const schemaBefore = await schemaOf(database.url);
    await withClient(database.url, async (holder) => {
      await holder.query(blockAfterFirstTable);
      await holder.query("select pg_advisory_lock(4711)");
      const environment = { PATH: process.env["PATH"], DATABASE_URL: database.url };
      const killed = spawn(process.execPath, ["src/access/keys.ts", "list"], { cwd: root, env: environment });
      const waiting = (lock: string) => async () => {
        const { rows } = await holder.query(
          `select 1 from pg_locks where locktype = 'advisory' and not granted and ${lock}`,
        );
        expect(rows).toHaveLength(1);
      };
      await eventually(waiting("objid = 4711"), 20_000);
      const waiter = migrate(database.url);
      await eventually(waiting("objid <> 4711"));
      const ended = once(killed, "exit");
      killed.kill("SIGKILL");
      await ended;
      // What its transaction has made is there for itself only.
      expect((await schemaOf(database.url)).filter((line) => !line.includes("schema_migrations"))).toEqual(
        schemaBefore.filter((line) => !line.includes("schema_migrations")),
      );
      await holder.query("drop event trigger block");
      await holder.query("drop function block");
      await holder.query("select pg_advisory_unlock(4711)");
      await waiter;
    });
    expect(await applied(database.url)).toEqual(Object.keys(migrations));
    expect(await schemaOf(database.url)).toEqual(await schemaOf(inject("databaseUrl")));
  });
});

/** Whoever makes a table waits for a lock that the test holds. */
const blockAfterFirstTable = `
  create function block() returns event_trigger language plpgsql as $$
  begin
    if exists (select from pg_event_trigger_ddl_commands() where object_identity !~ 'schema_migrations') then
      perform pg_advisory_xact_lock(4711);
    end if;
  end $$;
  create event trigger block on ddl_command_end when tag in ('CREATE TABLE') execute function block()`;

const contactsIn = (table: string) => `
  select job_id, number, phone, name, fields, status, attempts, last_outcome, next_attempt_at
  from ${table} order by job_id, number`;

describe.each(releases)("what $from has left", ({ file }) => {
  /** A replica on it, whose caller is of the organization that the dump is about. */
  async function startOn(url: string): Promise<Parts> {
    const parts = await startParts({ beside: { databaseUrl: url, prefix: `release-${file}` } });
    const { id } = await parts.db
      .selectFrom("organizations")
      .select("id")
      .where("name", "=", "default")
      .executeTakeFirstOrThrow();
    return { ...parts, caller: { ...parts.caller, organizationId: id } };
  }

  test("is all there", async () => {
    await using database = await startFrom(file);
    // Contacts of deleted jobs go at once.
    const tables = ["batch_jobs", "retries", "requests", "api_keys"];
    const counts = (attempts: string) => {
      const columns = [...tables, attempts].map((table) => `(select count(*)::int from ${table})`);
      return `select array[${columns.join()}] as counts`;
    };
    const before = await query(database.url, counts("attempts"));
    const contactsBefore = await query(database.url, contactsIn("contacts"));
    await migrate(database.url);
    expect(await query(database.url, counts("all_attempts"))).toEqual(before);
    expect(await query(database.url, contactsIn("current_contacts"))).toEqual(contactsBefore);
    const hash = hashApiKey(`cs_${"release".repeat(6)}`).toString("hex");
    expect(await query(database.url, `select role from api_keys where hash = '\\x${hash}'`)).toEqual([
      { role: "admin" },
    ]);
  });

  test("goes on: what is scheduled starts, and running jobs are worked to their end", async () => {
    await using database = await startFrom(file);
    await migrate(database.url);
    await using parts = await startOn(database.url);
    await parts.db
      .updateTable("batch_jobs")
      .set({ scheduled_at: new Date(0) })
      .where("status", "=", "scheduled")
      .execute();
    await parts.db
      .updateTable("retries")
      .set({ due_at: new Date(0) })
      .execute();
    await parts.db
      .updateTable("attempts")
      .set({ next_attempt_at: new Date(0) })
      .where("next_attempt_at", "is not", null)
      .execute();
    await settle(parts);
    await sweep(parts, 1);
    await runSchedulerPass(parts);
    await settle(parts);
    await sweep(parts, 2);
    await eventually(async () => {
      await reportAll(parts, await lease(parts, { maxContacts: 100 }), "completed");
      const rows = await parts.db
        .selectFrom("batch_jobs")
        .select(["name", "status", "dialing_contacts", "pending_contacts"])
        .where("name", "in", ["running", "scheduled", "due"])
        .orderBy("name")
        .execute();
      expect(rows).toMatchObject([
        { name: "due", status: "completed", dialing_contacts: 0, pending_contacts: 0 },
        // Two of its contacts are still leased, as the release has left them.
        { name: "running", status: "running", dialing_contacts: 2, pending_contacts: 0 },
        { name: "scheduled", status: "completed", dialing_contacts: 0, pending_contacts: 0 },
      ]);
    });
    await parts.db
      .updateTable("leases")
      .set({ expires_at: new Date(0) })
      .execute();
    await runExpiryPass(parts.db, parts.recorder);
    const running = await parts.db
      .selectFrom("batch_jobs")
      .select(["status", "unknown_contacts"])
      .where("name", "=", "running")
      .executeTakeFirst();
    expect(running).toEqual({ status: "completed", unknown_contacts: 2 });
  });
});

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type Kysely, sql } from "kysely";
import { Migrator } from "kysely/migration";
import { Client } from "pg";
import { describe, expect, inject, test } from "vitest";
import { hashApiKey } from "../../src/domain/api-key.ts";
import { runExpiryPass } from "../../src/leasing/expiry.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { migrate, migrations } from "../../src/postgres/schema/migrate.ts";
import { runSchedulerPass } from "../../src/starting/scheduler.ts";
import { lease, reportAll } from "../leasing/leases.ts";
import { cloneDatabase, createEmptyDatabase } from "../support/database.ts";
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

/** Every column, constraint and index, as text. That a column is never null is said once, with the column. */
async function schemaOf(url: string): Promise<string[]> {
  const rows = await query(
    url,
    `select format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) as line
       from information_schema.columns where table_schema = 'public'
     union all
     select format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
       from pg_constraint where contype <> 'n' and connamespace = 'public'::regnamespace
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
      await holder.query(blockAfterFirstChange);
      await holder.query("select pg_advisory_lock(4711)");
      const environment = { PATH: process.env["PATH"], DATABASE_URL: database.url };
      const killed = spawn(process.execPath, ["src/access/keys.ts", "list"], { cwd: root, env: environment });
      await eventually(() => isBlocked(holder), 20_000);
      const waiter = migrate(database.url);
      await eventually(async () => {
        const { rows } = await holder.query(
          `select from pg_stat_activity
           where datname = current_database() and pid <> pg_backend_pid() and query like '%pg_try_advisory_lock%'`,
        );
        expect(rows).toHaveLength(1);
      });
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

describe("changes of the schema", () => {
  test("end where they are asked to, in the middle of a statement too, and leave nothing behind", async () => {
    await using database = await createEmptyDatabase();
    await withClient(database.url, async (holder) => {
      // Unlike a lock, which would be given up, nothing else ends this.
      await holder.query(blockAfterFirstChange.replace("pg_advisory_xact_lock(4711)", "pg_sleep(600)"));
      const stop = new AbortController();
      const asked = new Error("a signal came");
      const waiting = { signal: stop.signal, waitsFor: () => {} };
      const ending = migrate(database.url, migrations, waiting).catch((error: unknown) => error);
      await eventually(async () => {
        const { rows } = await holder.query(
          "select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'",
        );
        expect(rows).toHaveLength(1);
      });
      stop.abort(asked);
      expect(await ending).toBeInstanceOf(Error);
      await eventually(async () => {
        const { rows } = await holder.query(
          "select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
        );
        expect(rows).toEqual([]);
      });
      await holder.query("drop event trigger block");
      await holder.query("drop function block");
    });
    await migrate(database.url);
    expect(await applied(database.url)).toEqual(Object.keys(migrations));
    expect(await schemaOf(database.url)).toEqual(await schemaOf(inject("databaseUrl")));
  });

  test("say what they wait for where somebody else has locked a table", async () => {
    await using database = await cloneDatabase();
    const changes = {
      ...migrations,
      "9000-things": {
        async up(db: Kysely<unknown>): Promise<void> {
          await sql`alter table batch_jobs add column thing text`.execute(db);
        },
      },
    };
    const told: (string | undefined)[] = [];
    const waiting = {
      signal: new AbortController().signal,
      waitsFor: (sentence?: string) => void told.push(sentence),
    };
    await withClient(database.url, async (holder) => {
      await holder.query("begin");
      await holder.query("lock table batch_jobs in access share mode");
      const migrating = migrate(database.url, changes, waiting);
      await eventually(async () =>
        expect(told).toEqual([expect.stringMatching(/^A change of the schema waits for a table /)]),
      );
      await holder.query("rollback");
      await migrating;
    });
    expect(told).toEqual([expect.any(String), undefined]);
  });
});

/** Somebody waits for the lock of `blockAfterFirstChange`. */
async function isBlocked(client: Client): Promise<void> {
  const { rows } = await client.query(
    `select from pg_locks
     where locktype = 'advisory' and not granted and objid = 4711
       and database = (select oid from pg_database where datname = current_database())`,
  );
  expect(rows).toHaveLength(1);
}

/** Whoever changes the schema waits for a lock that the test holds. */
const blockAfterFirstChange = `
  create function block() returns event_trigger language plpgsql as $$
  begin
    if exists (select from pg_event_trigger_ddl_commands() where object_identity !~ 'schema_migrations') then
      perform pg_advisory_xact_lock(4711);
    end if;
  end $$;
  create event trigger block on ddl_command_end execute function block()`;

/** Where a release shows contacts and attempts, and how many jobs that it has deleted are to be purged still. */
const leftBy = (file: string) =>
  file === "0.1.0.sql"
    ? { contacts: "contacts", attempts: "attempts", deletedJobs: 0 }
    : { contacts: "current_contacts", attempts: "all_attempts", deletedJobs: 1 };

/** Those of deleted jobs go at once. */
const contactsIn = (table: string) => `
  select job_id, number, phone, name, fields, status, attempts, last_outcome, next_attempt_at
  from ${table} where job_id in (select id from batch_jobs) order by job_id, number`;

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
    const tables = ["batch_jobs", "retries", "requests", "api_keys"];
    const counts = (attempts: string) => {
      const columns = [...tables, attempts].map((table) => `(select count(*)::int from ${table})`);
      return `select array[${columns.join()}] as counts`;
    };
    const left = leftBy(file);
    const before = await query(database.url, counts(left.attempts));
    const contactsBefore = await query(database.url, contactsIn(left.contacts));
    await migrate(database.url);
    expect(await query(database.url, counts("all_attempts"))).toEqual(before);
    expect(await query(database.url, contactsIn("current_contacts"))).toEqual(contactsBefore);
    expect(await query(database.url, "select job_id from deleted_jobs")).toHaveLength(left.deletedJobs);
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

/** Two organizations as they were before they were numbers, with rows of every kind, and what a deletion has left. */
const filled = `
  insert into organizations (name) values ('one'), ('two');
  insert into api_keys (organization_id, name, role, hash)
  select id, n::text, 'viewer', sha256((name || n)::bytea) from organizations, generate_series(1, 100) n;
  insert into batch_jobs (organization_id, name, description, from_phone_number_id, status, timezone, started_at,
    finished_at, concurrent_call_limit, max_attempts, retry_on, retry_delays_ms, total_contacts, pending_contacts)
  select id, n::text, '', 'pn_1', 'cancelled', 'UTC', now(), now(), 5, 3, '{busy}', '{1}', 1000, 1000
  from organizations, generate_series(1, 20) n;
  create temporary table rows as
  select id as job_id, number, 14150000000 + number as phone
  from (select id from batch_jobs union all select gen_random_uuid()) as j, generate_series(1, 1000) number;
  insert into contact_blocks
  select job_id, min(number), string_agg('+' || phone || E'\\tAda\\t{}', E'\\n' order by number)
  from rows group by job_id, number / 50;
  insert into contact_phones select job_id, '+' || phone from rows;
  insert into attempts (job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome, reported_at)
  select job_id, number, 1, number, 'worker-1', now(), now(), now(), 'completed', now() from rows;
  insert into leases (job_id, number, attempt, nonce, worker_id, request_id, leased_at, expires_at)
  select job_id, number, 1, number, 'worker-1', '', now(), now() from rows where number <= 100;
  insert into retries select job_id, number, now() from rows;
  insert into requests (organization_id, rpc, request_id, fingerprint, answer)
  select o.id, 'StartBatchJob', n::text, '', jsonb_build_object('job', jsonb_build_object('id', o.id, 'organizationId', o.id))
  from organizations o, generate_series(1, 1000) n;
  insert into deleted_jobs select job_id, 1000 from rows where job_id not in (select id from batch_jobs) limit 1`;

const jobTables = ["contact_blocks", "contact_phones", "attempts", "leases", "retries"];

async function startFilled() {
  const database = await createEmptyDatabase();
  const db = openDatabase({ url: database.url, poolSize: 1 });
  const provider = { getMigrations: () => Promise.resolve(migrations) };
  const names = {
    migrationTableName: "schema_migrations",
    migrationLockTableName: "schema_migrations_lock",
  };
  const { error } = await new Migrator({ db, provider, ...names }).migrateTo("0011-installation-id");
  await db.destroy();
  expect(error).toBeUndefined();
  await query(database.url, filled);
  return database;
}

const counted = (owner: string, table: string, joined: string) => `
  select '${table}' as table, o.name, count(*)::int from ${table} t ${joined} join organizations o on o.id = ${owner}
  group by 2 order by 2`;

describe("a database from before organizations were numbers", () => {
  test("keeps every row, with its owner; what deleted jobs have left is gone", async () => {
    await using database = await startFilled();
    const ownTables = ["api_keys", "batch_jobs", "requests"];
    const before = [
      ...jobTables.map((table) =>
        counted("j.organization_id", table, "join batch_jobs j on j.id = t.job_id"),
      ),
      ...ownTables.map((table) => counted("t.organization_id", table, "")),
    ];
    const after = [...jobTables, ...ownTables].map((table) => counted("t.organization_id", table, ""));
    const read = (texts: string[]) => Promise.all(texts.map((text) => query(database.url, text)));
    const countsBefore = await read(before);
    expect(countsBefore.flat()).toHaveLength(2 * 8);
    await migrate(database.url);
    expect(await read(after)).toEqual(countsBefore);
    expect(await query(database.url, "select count(*)::int from attempts")).toEqual([{ count: 40_000 }]);
    expect(await query(database.url, "select * from deleted_jobs")).toEqual([]);
    expect(await query(database.url, "select min(phone), max(phone) from contact_phones")).toEqual([
      { min: "14150000001", max: "14150001000" },
    ]);
    const strangers = await query(
      database.url,
      `select count(*)::int from requests r
       where answer->'job'->'organizationId' is distinct from to_jsonb(r.organization_id)`,
    );
    expect(strangers).toEqual([{ count: 0 }]);
  });

  test("is no larger afterwards", async () => {
    await using database = await startFilled();
    const sizes = `select relname, pg_total_relation_size(oid)::int as size from pg_class
      where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> 'deleted_jobs'
        and relname !~ 'migrations' order by 1`;
    const sizeOf = async () =>
      (await query(database.url, sizes)).reduce((sum, { size }) => sum + Number(size), 0);
    const before = await sizeOf();
    await migrate(database.url);
    expect(await sizeOf()).toBeLessThan(1.02 * before);
  });
});

test.each([
  ["waited for others for too long", "55P03"],
  ["was given up as others and it waited for each other", "40P01"],
])("a schema change that %s is tried again from the beginning", async (_, code) => {
  await using database = await createEmptyDatabase();
  let tries = 0;
  const up = async (db: Kysely<never>): Promise<void> => {
    tries += 1;
    await sql`create table things ()`.execute(db);
    if (tries > 1) return;
    await sql`do ${sql.lit(`begin raise exception using errcode = '${code}'; end`)}`.execute(db);
  };
  await migrate(database.url, { ...migrations, "9000-things": { up } });
  expect(tries).toBe(2);
});

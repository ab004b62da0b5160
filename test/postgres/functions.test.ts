import { randomBytes } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { sql } from "kysely";
import { Client } from "pg";
import { describe, expect, test } from "vitest";
import { outcomes } from "../../src/domain/contacts/contact.ts";
import { type JobState, resumed } from "../../src/domain/jobs/job-state.ts";
import { type Database, openDatabase } from "../../src/postgres/connections/database.ts";
import { functions, makeFunctions, versioned } from "../../src/postgres/functions/functions.ts";
import { extendLeases, openLeases } from "../../src/postgres/leasing/leases.ts";
import { migrate } from "../../src/postgres/schema/migrate.ts";
import { cloneDatabase, createEmptyDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { useFreshParts } from "../support/fresh.ts";
import { makeJob } from "../support/make.ts";
import { root } from "../support/readme.ts";
import { offerOf } from "../support/offers.ts";

const directory = join(root, "src/postgres/functions");
const read = (file: string): string => readFileSync(join(directory, file), "utf8");
const files = readdirSync(directory).filter((file) => file.endsWith(".sql"));
/** Those that planners put where they are called, and so have no plan of their own. */
const putInPlace: Record<string, { given: string; table: string; left: string }> = {
  "contact_counts.sql": { given: "(batch_jobs)", table: "batch_jobs", left: "jsonb_build_object" },
  "contact_line.sql": { given: "(contacts, 3)", table: "contact_blocks", left: "split_part" },
  "contact_phone.sql": { given: "(contacts)", table: "contact_blocks", left: "split_part" },
  "contact_bytes.sql": {
    given: "(contacts, contacts)",
    table: "contact_blocks",
    left: "((octet_length(contacts) + octet_length(contacts)) + 376)",
  },
  "is_erased_line.sql": { given: "(contacts)", table: "contact_blocks", left: "starts_with" },
  "kept_since.sql": { given: "(clock_timestamp())", table: "requests", left: "'24:00:00'::interval" },
  "status_at_end.sql": { given: "(completed_contacts)", table: "batch_jobs", left: "CASE WHEN" },
  "failure_at_end.sql": { given: "(completed_contacts)", table: "batch_jobs", left: "'no_call_completed'" },
  "ending_data.sql": { given: "(batch_jobs)", table: "batch_jobs", left: "jsonb_strip_nulls" },
  "suppression_key.sql": {
    given: "(organization_id, phone)",
    table: "suppressed_phones",
    left: "* '2654435761'::bigint",
  },
  "job_state.sql": { given: "(batch_jobs, 7)", table: "batch_jobs", left: "json_build_object" },
};
const names = Object.values(functions)
  .map(({ name }) => name)
  .toSorted();

async function connect(url: string): Promise<Client & AsyncDisposable> {
  const client = new Client({ connectionString: url });
  // The database may be dropped first.
  client.on("error", () => {});
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

/** Which functions there are, and which rows of the catalogue they are. */
async function made(client: Client): Promise<{ schema: string; name: string; oid: number; xmin: string }[]> {
  const { rows } = await client.query(
    `select nspname as schema, proname as name, pg_proc.oid, pg_proc.xmin
     from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
     where proname ~ '_[0-9a-f]{12}$' order by proname`,
  );
  return rows;
}

/** What somebody may do while no replica runs. */
const dropAll = `
  do $$
  declare
    found regprocedure;
  begin
    for found in
      select oid from pg_proc
      where pronamespace = quote_ident(current_schema())::regnamespace
        and proname ~ '_[0-9a-f]{12}$'
    loop
      execute format('drop function %s', found);
    end loop;
  end $$`;

describe("a start", () => {
  test("makes the functions of its version, and no others, in an empty database", async () => {
    await using database = await createEmptyDatabase();
    await migrate(database.url);
    await using client = await connect(database.url);
    expect((await made(client)).map(({ name }) => name)).toEqual(names);
  });

  test("makes nothing that is there", async () => {
    await using database = await cloneDatabase();
    await using client = await connect(database.url);
    const before = await made(client);
    expect(before).toHaveLength(names.length);
    await migrate(database.url);
    expect(await made(client)).toEqual(before);
  });

  test("makes again what somebody has dropped", async () => {
    await using database = await cloneDatabase();
    await using client = await connect(database.url);
    await client.query(dropAll);
    expect(await made(client)).toEqual([]);
    await migrate(database.url);
    expect((await made(client)).map(({ name }) => name)).toEqual(names);
  });

  test("waits for another that makes them, and leaves them alone then", async () => {
    await using database = await cloneDatabase();
    await using client = await connect(database.url);
    await client.query(dropAll);
    await client.query(`
      create function block() returns event_trigger language plpgsql as $$
      begin
        perform pg_advisory_xact_lock(4711);
      end $$;
      create event trigger block on ddl_command_end when tag in ('CREATE FUNCTION') execute function block()`);
    await client.query("select pg_advisory_lock(4711)");
    const first = migrate(database.url);
    await eventually(async () => {
      const { rows } = await client.query(
        `select 1 from pg_locks
         where locktype = 'advisory' and not granted and objid = 4711
           and database = (select oid from pg_database where datname = current_database())`,
      );
      expect(rows).toHaveLength(1);
    });
    const second = migrate(database.url);
    await eventually(async () => {
      const { rows } = await client.query(
        `select from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and query like '%pg_try_advisory_lock%'`,
      );
      expect(rows).toHaveLength(1);
    });
    await client.query("select pg_advisory_unlock(4711)");
    await Promise.all([first, second]);
    expect((await made(client)).map(({ name }) => name)).toEqual(names);
  });

  test("makes them beside the tables, as a role that may do nothing elsewhere", async () => {
    await using stack = new AsyncDisposableStack();
    const role = `role_${randomBytes(6).toString("hex")}`;
    const outside = stack.use(await createEmptyDatabase());
    const dropping = stack.use(await connect(outside.url));
    await dropping.query(`create role ${role} login password 'plain'`);
    stack.defer(async () => void (await dropping.query(`drop role ${role}`)));
    const database = stack.use(await createEmptyDatabase());
    const client = stack.use(await connect(database.url));
    await client.query(`create schema "Our calls" authorization ${role}`);
    await client.query(`alter role ${role} set search_path = elsewhere, "Our calls"`);
    const url = new URL(database.url);
    url.username = role;
    url.password = "plain";
    await migrate(url.href);
    const before = await made(client);
    expect(before.map(({ schema, name }) => ({ schema, name }))).toEqual(
      names.map((name) => ({ schema: "Our calls", name })),
    );

    // A schema that comes first from now on, where the tables are not.
    await client.query(`create schema elsewhere; grant usage on schema elsewhere to ${role}`);
    await migrate(url.href);
    expect(await made(client)).toEqual(before);
    await client.query(`set search_path = "Our calls"; ${dropAll}`);
    await migrate(url.href);
    expect((await made(client)).map(({ schema }) => schema)).toEqual(names.map(() => "Our calls"));
    const db = openDatabase({ url: url.href, poolSize: 1 });
    stack.defer(() => db.destroy());
    expect(await extendLeases(db, 1, [], 1_000)).toEqual([]);
  });
});

/** Until when the one lease of a job's first contact is extended by the function of this name. */
const extendBy = async (db: Database, name: string, organizationId: number, jobId: string, nonce: number) => {
  const { rows } = await sql<{ expiresMs: number }>`
    select expires_ms as "expiresMs" from ${sql.id(name)}(
      ${organizationId}, ${[jobId]}, ${[1]}, ${[1]}, ${[nonce]}, 60000
    )`.execute(db);
  return rows[0]?.expiresMs ?? 0;
};

describe("of two versions that run side by side", () => {
  const freshParts = useFreshParts();

  test("each calls the function that it was written for", async () => {
    await using parts = await freshParts();
    const { db, caller } = parts;
    const text = read("extend_leases.sql");
    const other = versioned("extend_leases", text.replace("+ duration_ms *", "+ 60 * duration_ms *"));
    expect(other.name).not.toBe(functions.extendLeases.name);
    await makeFunctions(db, "public", { knows: "0000-any", wanted: [other] });

    const { id: jobId } = await makeJob(parts, { status: "running", contacts: 1 });
    const taker = { workerId: "worker", requestId: "", ticket: 0, most: 1, durationMs: 60_000 };
    const { leases } = await openLeases(db, caller.organizationId, [offerOf(jobId, [1])], [taker]);
    const { nonce = 0, expiresAt = new Date(0) } = leases[0]?.[0] ?? {};
    const byOther = await extendBy(db, other.name, caller.organizationId, jobId, nonce);
    const byOurs = await extendBy(db, functions.extendLeases.name, caller.organizationId, jobId, nonce);
    expect(byOther).toBeGreaterThanOrEqual(expiresAt.getTime() + 59 * 60_000);
    expect(byOurs).toBeGreaterThanOrEqual(expiresAt.getTime());
    expect(byOurs).toBeLessThan(byOther);
  });

  test("each has a name of its own, whatever differs in the text", () => {
    const text = "-- One.\ncreate function one(";
    expect(versioned("one", text)).toEqual(versioned("one", text));
    expect(versioned("one", `${text} `).name).not.toBe(versioned("one", text).name);
  });

  test.each(["create function two(", "create function one( create function one("])(
    "a text that does not define its function once is refused: %s",
    (text) => {
      expect(() => versioned("one", text)).toThrow('one.sql must say "create function one(" once.');
    },
  );

  test("each calls the version of another function that it was written for", () => {
    const [one, other] = ["1", "2"].map((answer) => versioned("inner", `create function inner() ${answer}`));
    const text = "create function outer() return inner() + outermost.inner(";
    const [byOne, byOther] = [one, other].map((inner) => versioned("outer", text, inner && [inner]));
    expect(byOne?.definition).toBe(
      `create function ${byOne?.name}() return ${one?.name}() + outermost.${one?.name}(`,
    );
    expect(byOne?.name).not.toBe(byOther?.name);
  });
});

describe.each(files)("%s", (file) => {
  const [head = "", body = ""] = read(file).split(/^(?=create function )/m);

  test("is made at a start", () => {
    const plain = Object.values(functions).map(({ name }) => name.replace(/_[0-9a-f]{12}$/, ".sql"));
    expect(plain).toContain(file);
  });

  test("calls no function of ours but under a version's name", () => {
    const defined = Object.values(functions).find(({ plainName }) => `${plainName}.sql` === file);
    const code = defined?.definition.replaceAll(/--.*$/gm, "") ?? "";
    const plain = Object.values(functions).filter(({ plainName }) => code.includes(`${plainName}(`));
    expect(code).not.toBe("");
    expect(plain).toEqual([]);
    const before = Object.values(functions).slice(0, defined && Object.values(functions).indexOf(defined));
    const called = Object.values(functions).filter(
      ({ name }) => name !== defined?.name && code.includes(`${name}(`),
    );
    expect(before).toEqual(expect.arrayContaining(called));
  });

  test("says at its head what it does with what, and why in this form", () => {
    expect(head).toMatch(
      /^(-- .+\n)+--\n-- Arguments\n(--   .+\n)+-- Answers\n(--   .+\n)+-- Locks\n(--   .+\n)+-- Repeated\n(--   .+\n)+-- Form\n(--   .+\n)+$/,
    );
    const signature = body.slice(body.indexOf("(") + 1, body.search(/\n\)|\n {2}out /));
    const inArguments = head.slice(head.indexOf("-- Arguments"), head.indexOf("-- Answers"));
    const argumentNames = [...signature.matchAll(/(\w+) \w+(?:\[\])?(?:,|$)/gm)].map(([, name]) => name);
    expect(argumentNames.filter((name) => !new RegExp(`\\b${name}\\b`).test(inArguments))).toEqual([]);
    expect(argumentNames).not.toEqual([]);
  });
});

test.each(files.filter((file) => !(file in putInPlace)))(
  "%s is planned for look-ups by key, once",
  (file) => {
    expect(read(file)).toContain(`
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
`);
  },
);

test.each([0, 1])(
  "Postgres and the state table end a job alike of which %i calls were completed",
  async (completed) => {
    const left = { pending: 0, waitingRetry: 0, dialing: 0, revision: 1, failureReason: null, completed };
    const { status, failureReason } = resumed(left as JobState, 0);
    const [statusAtEnd, failureAtEnd] = [
      sql.id(functions.statusAtEnd.name),
      sql.id(functions.failureAtEnd.name),
    ];
    await using database = await cloneDatabase();
    const db = openDatabase({ url: database.url, poolSize: 1 });
    const { rows } = await sql`
    select ${statusAtEnd}(${completed}::int) as status, ${failureAtEnd}(${completed}::int) as "failureReason"
  `.execute(db);
    await db.destroy();
    expect(rows).toEqual([{ status, failureReason }]);
  },
);

test("every outcome is counted as the final one of a contact", () => {
  const text = read("end_leases.sql");
  const counted = [...text.matchAll(/next_at is null and outcome = '(\w+)'\)\)::int as (\w+)/g)];
  expect(counted.map(([, outcome, column]) => [outcome, column])).toEqual(outcomes.map((o) => [o, o]));
  const added = [...text.matchAll(/(\w+)_contacts = b\.(\w+)_contacts \+ m\.(\w+)/g)].map(
    ([, ...all]) => all,
  );
  expect(added).toEqual(["waiting_retry", ...outcomes].map((o) => [o, o, o]));
});

/** They are as they are for ever; none comes to these without a reason. */
const carriers: Record<string, string> = {
  "0008-last-attempts.ts": "from before functions had files; what it made is called by no version any more",
  "0014-access.ts":
    "triggers that count stored contacts: a trigger is a part of its table, as a constraint is, and there is one for all versions that run side by side",
  "0016-one-reader.ts":
    "what read blocks and statuses; later versions do so by functions in files, or by none",
};

test("no migration carries the text of a function, but for those that are listed here with a reason", () => {
  const migrations = join(root, "src/postgres/migrations");
  // What a migration makes for itself is gone with it.
  const carrying = readdirSync(migrations).filter((file) =>
    /create\s+(or\s+replace\s+)?(function|procedure)\s+(?!pg_temp\.)/i.test(
      readFileSync(join(migrations, file), "utf8"),
    ),
  );
  expect(carrying).toEqual(Object.keys(carriers));
});

test.each(Object.entries(putInPlace))("%s is no call where it is used", async (file, used) => {
  await using database = await cloneDatabase();
  await using client = await connect(database.url);
  const name = Object.values(functions).find(({ plainName }) => `${plainName}.sql` === file)?.name;
  const { rows } = await client.query(`explain (verbose) select ${name}${used.given} from ${used.table}`);
  const plan = rows.map((line) => line["QUERY PLAN"]).join("\n");
  expect(plan).toContain(used.left);
  expect(plan).not.toContain(name);
});

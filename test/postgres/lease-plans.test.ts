import { sql } from "kysely";
import { Client } from "pg";
import { expect, test } from "vitest";
import type { Trx } from "../../src/postgres/jobs/batch-jobs.ts";
import { openDatabase, openPool, overPool } from "../../src/postgres/connections/database.ts";
import { endLeases } from "../../src/postgres/leasing/lease-ends.ts";
import { extendLeases, openLeases, takeOverLeases } from "../../src/postgres/leasing/leases.ts";
import type { BatchJobRow } from "../../src/postgres/schema/tables.ts";
import { cloneDatabase } from "../support/database.ts";
import { useFreshParts } from "../support/fresh.ts";
import { makeJobs } from "../support/make-many.ts";
import { offerOf } from "../support/offers.ts";
import { openExplained } from "../support/plans.ts";

const freshParts = useFreshParts();

type Touched = { table: string; read: number; found: number; entries: number };

/** What this connection has touched and not yet made known: in this transaction and in some before it. */
const readTouched = async (trx: Trx): Promise<Map<string, Omit<Touched, "table">>> => {
  const { rows } = await sql<Touched>`
    select relname as table, seq_tup_read::int as read, idx_tup_fetch::int as found, (
      select sum(pg_stat_get_xact_tuples_returned(indexrelid))::int from pg_index where indrelid = relid
    ) as entries
    from pg_stat_xact_user_tables order by relname`.execute(trx);
  return new Map(rows.map(({ table, ...counts }) => [table, counts]));
};

test.each([
  ["that nobody has looked at yet", false],
  ["that were vacuumed while they were as good as empty", true],
])(
  "leasing, taking over, extending and reporting touch no more rows than they must, however tables grow under planned statements %s",
  async (__, isVacuumed) => {
    await using parts = await freshParts();
    await using stack = new AsyncDisposableStack();
    const db = openDatabase({ url: parts.databaseUrl, poolSize: 1 });
    stack.defer(() => db.destroy());
    const { organizationId } = parts.caller;
    await db.updateTable("organizations").set({ lease_limit: 1_000 }).execute();

    /**
     * Leases, takes over, extends and reports so many contacts of a job, and answers which rows of which tables that
     * touched.
     */
    async function work({ id }: BatchJobRow, count: number, first = 1): Promise<Touched[]> {
      return await db.transaction().execute(async (trx) => {
        const before = await readTouched(trx);
        const numbers = Array.from({ length: count }, (_, i) => first + i);
        const taker = { workerId: "worker-1", requestId: id, ticket: 1, most: count, durationMs: 60_000 };
        const { leases } = await openLeases(trx, organizationId, [offerOf(id, numbers)], [taker]);
        expect(leases[0]).toHaveLength(count);
        const taken = await takeOverLeases(trx, organizationId, { ...taker, ticket: 2 });
        expect(taken.leases).toHaveLength(count);
        expect(await extendLeases(trx, organizationId, taken.leases, 60_000)).not.toContain(undefined);
        const endings = taken.leases.map((lease, i) => ({
          ...lease,
          outcome: i % 2 === 0 ? ("completed" as const) : ("busy" as const),
          details: undefined,
        }));
        const { contacts } = await endLeases(trx, organizationId, endings, { onlyExpired: false });
        expect(contacts.filter((contact) => contact === undefined)).toEqual([]);
        return [...(await readTouched(trx))]
          .map(([table, { read, found, entries }]) => {
            const was = before.get(table) ?? { read: 0, found: 0, entries: 0 };
            return { table, read: read - was.read, found: found - was.found, entries: entries - was.entries };
          })
          .filter(({ read, found, entries }) => read + found + entries > 0);
      });
    }

    const [small] = await makeJobs(parts, 1, { status: "running", contacts: 5 });
    const others = await makeJobs(parts, 300, { status: "running", contacts: 100 });
    const [large] = await makeJobs(parts, 1, { status: "running", contacts: 20_000 });
    if (small === undefined || large === undefined) throw new Error("no jobs were made");
    await db
      .updateTable("batch_jobs")
      .set({ concurrent_call_limit: 1_000 })
      .where("id", "=", large.id)
      .execute();

    // Planned now, and not again.
    await work(small, 2);
    // What was planned before is planned anew, with leases on a page without any, as which all pages are taken to be.
    if (isVacuumed) await sql`vacuum (analyze, truncate false)`.execute(parts.db);
    await work(small, 3, 3);
    await sql`
    insert into attempts (
      organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome)
    select ${organizationId}, id, number, 1, 0, 'worker-1', now(), now(), now(), 'completed'
    from (
      select id, generate_series(1, 100) as number from unnest(${others.map(({ id }) => id)}::uuid[]) as id
      union all select ${large.id}, generate_series(1, 19000)
    ) as called`.execute(db);
    await sql`
    insert into leases (
      organization_id, job_id, number, attempt, nonce, worker_id, request_id, leased_at, expires_at)
    select ${organizationId}, id, number, 1, 0, 'worker-1', '', now(), now() + interval '1 hour'
    from unnest(${others.map(({ id }) => id)}::uuid[]) as id, generate_series(1, 50) as number`.execute(db);

    const touched = await work(large, 200, 19_001);
    for (const { table, read, found, entries } of touched) {
      expect.soft({ table, read }).toEqual({ table, read: 0 });
      // Once for each of the four steps, and what their conditions look at.
      expect.soft(found, `rows of ${table}`).toBeLessThanOrEqual(7 * 200 + 20);
      // A row that was changed has had an entry for each change.
      expect.soft(entries, `index entries of ${table}`).toBeLessThanOrEqual(10 * 200);
    }
    const tables = touched.map(({ table }) => table).filter((table) => table !== "retries");
    expect(tables).toEqual(["batch_jobs", "contact_blocks", "event_heads", "leases", "organizations"]);
  },
);

type Node = { "Actual Rows"?: number; "Actual Loops"?: number; Plans?: Node[] };

/** How many rows a step of a statement has gone through at most, of it and of all that it consists of. */
const mostRows = (node: Node): number =>
  Math.max((node["Actual Rows"] ?? 0) * (node["Actual Loops"] ?? 0), ...(node.Plans ?? []).map(mostRows));

test("leasing, reporting or suppressing a contact of each of many jobs goes through few rows for each, not through all", async () => {
  await using parts = await freshParts();
  await using stack = new AsyncDisposableStack();
  const plans: Node[] = [];
  const pool = openPool({ url: parts.databaseUrl, size: 1 });
  pool.on("connect", (client) => {
    client.on("notice", ({ message = "" }) =>
      plans.push(JSON.parse(message.slice(message.indexOf("{"))).Plan),
    );
  });
  const db = overPool(pool);
  stack.defer(() => db.destroy());
  const { organizationId } = parts.caller;
  const count = 300;
  await db.updateTable("organizations").set({ lease_limit: count }).execute();
  const makeOffers = async () =>
    (await makeJobs(parts, count, { status: "running", contacts: 1 })).map(({ id }) => offerOf(id, [1]));
  const [offers, suppressed] = [await makeOffers(), await makeOffers()];
  await sql`load 'auto_explain'`.execute(db);
  const settings = {
    log_analyze: "on",
    log_nested_statements: "on",
    log_format: "json",
    log_level: "notice",
  };
  for (const [name, value] of Object.entries({ ...settings, log_timing: "off", log_min_duration: "0" })) {
    await sql`select set_config(${`auto_explain.${name}`}, ${value}, false)`.execute(db);
  }

  plans.length = 0;
  const taker = { workerId: "worker-1", requestId: "", ticket: 0, most: count, durationMs: 60_000 };
  const { leases } = await openLeases(db, organizationId, offers, [taker]);
  expect(leases[0]).toHaveLength(count);
  const endings = (leases[0] ?? []).map((lease) => ({
    ...lease,
    outcome: "completed" as const,
    details: undefined,
  }));
  expect((await endLeases(db, organizationId, endings, { onlyExpired: false })).finished).toHaveLength(count);
  const phones = sql`insert into suppressed_phones (organization_id, phone, added_at, reason)`;
  await sql`${phones} values (${organizationId}, 14155000000, now(), 'asked not to be called')`.execute(
    parts.db,
  );
  const ended = (await openLeases(db, organizationId, suppressed, [taker])).suppressed;
  expect(ended.filter(({ finalRevision }) => finalRevision === 2)).toHaveLength(count);
  expect(plans.length).toBeGreaterThan(4);
  expect(plans.map(mostRows).filter((rows) => rows > 10 * count)).toEqual([]);
});

/** Of tables that have several indexes in which an organization comes first: what a row is looked up by. */
const keys: Record<string, string> = {
  batch_jobs: "organization_id = $1 and id = $2",
  leases: "organization_id = $1 and job_id = $2 and number = $3",
  attempts: "organization_id = $1 and job_id = $2 and number = $3",
  retries: "organization_id = $1 and job_id = $2 and number = $3",
  zone_sets: "organization_id = $1 and job_id = $2 and zone_set = $3",
};

test.each(Object.entries(keys))(
  "%s are looked up by their key, and no other index, by statements that were planned while there were none",
  async (table, isMeant) => {
    await using database = await cloneDatabase();
    await using stack = new AsyncDisposableStack();
    const client = new Client({ connectionString: database.url });
    await client.connect();
    stack.defer(() => client.end());
    await client.query(
      "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_bitmapscan = off",
    );
    const count = isMeant.includes("$3") ? 3 : 2;
    await client.query(`prepare look_up as select from ${table} where ${isMeant}`);
    const { rows } = await client.query(
      `explain execute look_up(${Array.from({ length: count }, () => "null")})`,
    );
    const plan = rows.map((line) => line["QUERY PLAN"]).join("\n");
    expect(/using (\w+)/.exec(plan)?.[1]).toBe(`${table}_pkey`);
  },
);

test("leases that are opened and taken over look for phones that nobody calls by their key, whatever was known of the list", async () => {
  await using parts = await freshParts();
  await using explained = await openExplained(parts.databaseUrl);
  const { organizationId } = parts.caller;
  await parts.db.updateTable("organizations").set({ lease_limit: 10 }).execute();
  const [job] = await makeJobs(parts, 1, { status: "running", contacts: 4 });
  if (job === undefined) throw new Error("no job was made");
  const looksOf = async (number: number) => {
    const taker = { workerId: "worker-1", requestId: `r${number}`, ticket: 1, most: 1, durationMs: 60_000 };
    const scans = await explained.scansOf(async () => {
      const { leases } = await openLeases(explained.db, organizationId, [offerOf(job.id, [number])], [taker]);
      expect(leases[0]).toHaveLength(1);
      const taken = await takeOverLeases(explained.db, organizationId, { ...taker, ticket: 2 });
      expect(taken.leases).toHaveLength(1);
    });
    return scans.filter(({ table }) => table === "suppressed_phones").map(({ index, rows }) => [index, rows]);
  };
  const byKey = ["suppressed_phones_by_key", 0];
  expect(await looksOf(1)).toEqual([byKey, byKey]);
  // Others have the same phones on their lists, and those next to them.
  await sql`
    insert into suppressed_phones (organization_id, phone, added_at, reason)
    select ${organizationId} + other, 14155000000 + n, now(), ''
    from generate_series(1, 20) other, generate_series(0, 999) n`.execute(parts.db);
  expect(await looksOf(2)).toEqual([byKey, byKey]);
  await sql`analyze suppressed_phones`.execute(parts.db);
  expect(await looksOf(3)).toEqual([byKey, byKey]);
});

import { randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { sql } from "kysely";
import { Client } from "pg";
import { afterAll, describe, expect, inject, test } from "vitest";
import { BatchJobStatus, Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { migrate } from "../../src/postgres/schema/migrate.ts";
import { cloneDatabase, createEmptyDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { startTestService } from "../support/service.ts";
import { grpcTo } from "../support/transports.ts";

/*
 * Here the URL of the database names a role that may log in, and owns one schema, and has no other right. Its password
 * holds whatever means something in a URL.
 */

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const database = stack.use(await cloneDatabase());
const db = openDatabase({ url: database.url, poolSize: 1 });
stack.defer(() => db.destroy());

describe("the role of these tests", () => {
  test("may do nothing but log in", async () => {
    const { rows } = await sql`
      select rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls as more
      from pg_roles where rolname = current_user`.execute(db);
    expect(rows).toEqual([{ more: false }]);
  });

  test.each([
    "create schema mine",
    "create table public.mine ()",
    "create database mine",
    "create role mine",
  ])("may not %s", (statement) =>
    expect(sql.raw(statement).execute(db)).rejects.toThrow("permission denied"),
  );

  test("does not see what others do", async () => {
    const other = new Client({ connectionString: inject("adminUrl") });
    await other.connect();
    const { rows: own } = await other.query<{ pid: number }>("select pg_backend_pid() as pid");
    const { rows } = await sql`
      select query from pg_stat_activity where pid = ${own[0]?.pid ?? 0}`.execute(db);
    await other.end();
    expect(rows).toEqual([{ query: "<insufficient privilege>" }]);
  });
});

test("the schema is made from nothing, and found again, by any number of replicas", async () => {
  await using empty = await createEmptyDatabase();
  await Promise.all([migrate(empty.url), migrate(empty.url)]);
  await migrate(empty.url);
  await using made = openDatabase({ url: empty.url, poolSize: 1 });
  const { rows } = await sql`
    select distinct schemaname from pg_tables where tableowner = current_user`.execute(made);
  expect(rows).toEqual([{ schemaname: "calls" }]);
});

test("no plan is compiled, whatever it costs", async () => {
  const { rows } = await db.connection().execute(async (one) => {
    await sql`create temporary table unknown as select generate_series(1, 10) as n`.execute(one);
    return await sql<Record<string, string>>`explain (analyze) select count(*) from unknown`.execute(one);
  });
  const plan = rows.map((row) => Object.values(row)[0]).join("\n");
  expect(plan).toContain("Seq Scan on unknown");
  expect(plan).not.toContain("JIT");
});

test("a service takes files, starts what is due, has it worked, gives it out and deletes it", async () => {
  await using service = await startTestService({ retentionDays: 1 });
  const jobs = service.clientWith(service.apiKey);
  const worker = createClient(ContactWorkerService, grpcTo(service.grpcUrl, service.apiKey));
  const { batchJobId } = await jobs.createBatchJob({
    requestId: randomUUID(),
    name: "Ordinary",
    fromPhoneNumberId: "pn_1",
  });
  const file = `${service.httpUrl}/batch-jobs/${batchJobId}/contacts.csv`;
  const headers = { authorization: `Bearer ${service.apiKey}` };
  const body = "phone,name\n+14155550100,Ada\n+14155550101,Łucja\n";
  expect(await (await fetch(file, { method: "POST", headers, body })).json()).toMatchObject({
    acceptedCount: 2,
  });
  await jobs.rescheduleBatchJob({
    requestId: randomUUID(),
    batchJobId,
    scheduledStartTime: new Date(Date.now() + 1_500).toISOString(),
  });
  for (let left = 2; left > 0;) {
    const { contacts } = await worker.leaseContacts({
      workerId: "w",
      requestId: randomUUID(),
      maxContacts: 2,
      wait: { seconds: 5n },
    });
    left -= contacts.length;
    const outcomes = contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
    if (outcomes.length > 0) await worker.reportOutcomes({ outcomes });
  }
  expect((await jobs.getBatchJob({ batchJobId })).batchJob?.status).toBe(BatchJobStatus.COMPLETED);
  expect(await (await fetch(file, { headers })).text()).toContain("Łucja");

  const own = service.db;
  await own
    .updateTable("batch_jobs")
    .set({ finished_at: sql`finished_at - interval '2 days'` })
    .execute();
  await eventually(async () => {
    expect(await own.selectFrom("batch_jobs").select("id").execute()).toEqual([]);
    expect(await own.selectFrom("contact_blocks").select("job_id").execute()).toEqual([]);
  }, 20_000);
});

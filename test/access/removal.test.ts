import { sql } from "kysely";
import { pino } from "pino";
import { afterAll, expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { ownedTables } from "../../src/postgres/removal.ts";
import { runProgram } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { clientsWith, makeOwner, secrets } from "../support/owner.ts";
import { startTestService } from "../support/service.ts";

/* An organization is removed beside a service at work, with all that it has, and nothing else is. */

/** What the service warns of, or worse. */
const logged: string[] = [];
const logger = pino({ level: "warn" }, { write: (line: string) => void logged.push(line) });
const service = await startTestService({ logger });
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());
const owner = await makeOwner(service, db);

const remove = (...args: string[]) =>
  runProgram("src/access/organizations.ts", ["remove", ...args], { DATABASE_URL: service.databaseUrl });

const name = secrets.organization;

async function tablesWithOrganizations(): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and a.attname = 'organization_id'
  `.execute(db);
  return rows.map((row) => row.name);
}

test("all tables that have rows of organizations are known", async () => {
  expect([...ownedTables].toSorted()).toEqual((await tablesWithOrganizations()).toSorted());
});

test.each([
  [["nobody at all", "--confirm", "nobody at all"], /There is no organization nobody at all/],
  [[name, "--confirm", "default"], /--confirm names another organization/],
  [[name], /required option '--confirm <name>'/],
  [
    [name, "--confirm", name],
    /jobs that are scheduled, running or paused \(1\), or contacts that are dialing \(1\)/,
  ],
])("%j is refused in a sentence, and changes nothing", async (args, sentence) => {
  const before = await owner.rows();
  const { exitCode, stdout, stderr } = await remove(...args);
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
  expect(stderr).toMatch(sentence);
  expect(await owner.rows()).toEqual(before);
});

test("an organization whose jobs have ended is gone with all its rows, and the others have theirs", async () => {
  const other = clientsWith(service.grpcUrl, service.apiKey);
  const { batchJobId } = await other.jobs.createBatchJob({
    name: "Another's",
    fromPhoneNumberId: "pn_1",
    contacts: [{ phone: "+14155550100" }],
  });
  const { batchJobId: runs, liveLeaseId } = owner.known;
  // More than go at once.
  const many = Array.from({ length: 2_500 }, (_, i) => ({ phone: `+1415561${1_000 + i}` }));
  await owner.suppression.addSuppressedPhones({ phones: many });
  await owner.jobs.cancelBatchJob({ batchJobId: runs });
  await owner.worker.reportOutcomes({ outcomes: [{ leaseId: liveLeaseId, outcome: Outcome.COMPLETED }] });

  const { exitCode, stdout, stderr } = await remove(name, "--confirm", name);
  expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: `removed ${name}\n`, stderr: "" });
  await expect(owner.access.whoAmI({})).rejects.toThrow(/unauthenticated/);
  const { organizationId } = owner.key;
  await eventually(async () => {
    for (const table of await tablesWithOrganizations()) {
      const { rows } =
        await sql`select from ${sql.table(table)} where organization_id = ${organizationId}`.execute(db);
      expect([table, rows.length]).toEqual([table, 0]);
    }
  });
  const { rows: names } = await sql<{ name: string }>`select name from organizations`.execute(db);
  expect(names).toEqual([{ name: "default" }]);
  expect(await other.jobs.getBatchJob({ batchJobId })).toMatchObject({ batchJob: { counts: { total: 1 } } });
  expect((await other.access.getOrganization({})).organization).toMatchObject({ storedContacts: 1 });
  expect(logged).toEqual([]);
}, 60_000);

test("a later one of the same name has nothing of it", async () => {
  const args = ["create", "--organization", name, "--role", "admin"];
  const { stdout } = await runProgram("src/access/keys.ts", args, { DATABASE_URL: service.databaseUrl });
  const { jobs, access } = clientsWith(service.grpcUrl, stdout.trim());
  expect((await access.getOrganization({})).organization).toMatchObject({ name, storedContacts: 0 });
  expect((await jobs.listBatchJobs({})).batchJobs).toEqual([]);
});

import { randomBytes, randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { Client } from "pg";
import { afterAll, beforeEach, describe, expect, inject, test } from "vitest";
import type { Finding } from "../../src/doctor/finding.ts";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { runProgram } from "../support/command.ts";
import { administer } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { makeOrdinaryRole } from "../support/ordinary-role.ts";
import { startTestService } from "../support/service.ts";
import { grpcTo } from "../support/transports.ts";

/* DATABASE_URL names a role that owns nothing: that of DATABASE_DIRECT_URL makes the tables, and lets it use them. */

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());

let owner: { role: string; url: string; query(text: string): Promise<void> };
let app: { role: string; url: string };
beforeEach(async () => {
  const some = randomBytes(5).toString("hex");
  const [database, role] = [`owner_${some}`, `app_${some}`];
  for (const each of [database, role]) stack.defer(() => administer(`drop role ${each}`));
  stack.defer(() => administer(`drop database ${database} with (force)`));
  const ownUrl = await makeOrdinaryRole({ url: inject("adminUrl"), query: administer }, database);
  await administer(`create role ${role} login password 'secret'`);
  await administer(`grant connect on database ${database} to ${role}`);
  const as = async (text: string) => {
    const client = new Client({ connectionString: ownUrl });
    await client.connect();
    await client.query(text).finally(() => client.end());
  };
  owner = { role: database, url: ownUrl, query: as };
  await owner.query(`grant usage on schema calls to ${role}`);
  const url = Object.assign(new URL(ownUrl), { username: role, password: "secret" });
  app = { role, url: url.href };
});

const start = () =>
  startTestService({
    beside: { databaseUrl: app.url, prefix: `test-${owner.role}`, apiKey: generateApiKey() },
    databaseDirectUrl: owner.url,
  });

/** The sentence with which a replica does not start. */
async function complaint(): Promise<string> {
  try {
    await (await start())[Symbol.asyncDispose]();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error("it has started");
}

const onTables = "SELECT, INSERT, UPDATE, DELETE";
/** What the owner grants, before there is anything to grant, as docs/operating.md has it. */
async function grantBeforehand(): Promise<void> {
  const granting = "alter default privileges in schema calls grant";
  await owner.query(`${granting} ${onTables} on tables to ${app.role}`);
  await owner.query(`${granting} usage on sequences to ${app.role}`);
}

test("a role that is let use everything before there is anything starts from nothing, and does all", async () => {
  await grantBeforehand();
  await using service = await start();
  const jobs = service.clientWith(service.apiKey);
  const worker = createClient(ContactWorkerService, grpcTo(service.grpcUrl, service.apiKey));
  const { batchJobId } = await jobs.createBatchJob({ name: "Lesser", fromPhoneNumberId: "pn_1" });
  const file = `${service.httpUrl}/batch-jobs/${batchJobId}/contacts.csv`;
  const headers = { authorization: `Bearer ${service.apiKey}` };
  const sent = await fetch(file, { method: "POST", headers, body: "phone\n+14155550100\n" });
  expect(await sent.json()).toMatchObject({ acceptedCount: 1 });
  await jobs.startBatchJob({ batchJobId });
  const { contacts } = await worker.leaseContacts({
    workerId: "w",
    requestId: randomUUID(),
    maxContacts: 1,
    wait: { seconds: 20n },
  });
  const outcomes = contacts.map(({ leaseId }) => ({ leaseId, outcome: Outcome.COMPLETED }));
  expect((await worker.reportOutcomes({ outcomes })).outcomes).toHaveLength(1);
  expect(await (await fetch(file, { headers })).text()).toContain("14155550100");
  await eventually(() => jobs.deleteBatchJob({ batchJobId }));
}, 60_000);

const grantTables = () => `GRANT ${onTables} ON ALL TABLES IN SCHEMA calls TO ${app.role}`;
const grantSequences = () => `GRANT USAGE ON ALL SEQUENCES IN SCHEMA calls TO ${app.role}`;
const grantFunctions = () => `GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA calls TO ${app.role}`;

describe("a role that may not use what a replica uses is refused at the start, which says what to grant:", () => {
  test("nothing", async () => {
    const said = await complaint();
    expect(said).toMatch(
      new RegExp(
        `^Role ${app.role} \\(DATABASE_URL\\) lacks SELECT on all_attempts in schema calls, and \\d+ other rights; role ${owner.role}, `,
      ),
    );
    expect(said).toContain(`must ${grantTables()}, and ${grantSequences()}.`);
    for (const text of [grantTables(), grantSequences()]) await owner.query(text);
    await (await start())[Symbol.asyncDispose]();
  }, 60_000);

  test.each([
    [
      "one table",
      (role: string) => `revoke update on batch_jobs from ${role}`,
      "UPDATE on batch_jobs",
      grantTables,
    ],
    [
      "the view",
      (role: string) => `revoke select on all_attempts from ${role}`,
      "SELECT on all_attempts",
      grantTables,
    ],
    [
      "the sequence",
      (role: string) => `revoke usage on sequence lease_tickets from ${role}`,
      "USAGE on lease_tickets",
      grantSequences,
    ],
  ])(
    "%s",
    async (_, revoke, lacks, grant) => {
      await grantBeforehand();
      await (await start())[Symbol.asyncDispose]();
      await owner.query(revoke(app.role));
      expect(await complaint()).toBe(
        `Role ${app.role} (DATABASE_URL) lacks ${lacks} in schema calls; role ${owner.role}, whose tables these are, must ${grant()}.`,
      );
      await owner.query(grant());
      await (await start())[Symbol.asyncDispose]();
    },
    60_000,
  );

  test("functions", async () => {
    await grantBeforehand();
    await owner.query("alter default privileges revoke execute on functions from public");
    const said = await complaint();
    expect(said).toMatch(/ lacks EXECUTE on \w+ in schema calls, and \d+ other rights; /);
    expect(said.endsWith(`must ${grantFunctions()}.`)).toBe(true);
    await owner.query(grantFunctions());
    await (await start())[Symbol.asyncDispose]();
  }, 60_000);
});

/** What doctor says of the rights of this role. */
async function doctor(databaseUrl: string): Promise<Finding | undefined> {
  const settings = { DATABASE_URL: databaseUrl, DATABASE_DIRECT_URL: owner.url };
  const { stdout } = await runProgram("src/doctor/doctor.ts", ["--json"], settings);
  return (JSON.parse(stdout) as Finding[]).find(({ check }) => check === "rights in Postgres");
}

test("doctor says the same as a start, of a role to look with that it is one, and else that all is well", async () => {
  await grantBeforehand();
  await (await start())[Symbol.asyncDispose]();
  expect(await doctor(owner.url)).toMatchObject({ level: "ok" });
  expect(await doctor(app.url)).toMatchObject({
    level: "ok",
    sentence: "The role may do all that a replica does.",
  });
  await owner.query(`revoke delete on leases from ${app.role}`);
  expect(await doctor(app.url)).toMatchObject({ level: "fault", sentence: await complaint() });
  await owner.query(`revoke insert, update, delete on all tables in schema calls from ${app.role}`);
  expect(await doctor(app.url)).toMatchObject({
    level: "ok",
    sentence: `Role ${app.role} may write nothing: it is one to look with, and no replica starts as it.`,
  });
}, 60_000);

test("a command is refused as a start is", async () => {
  const settings = { DATABASE_URL: app.url, DATABASE_DIRECT_URL: owner.url };
  const { exitCode, stderr } = await runProgram("src/access/keys.ts", ["list"], settings);
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(new RegExp(`^Role ${app.role} \\(DATABASE_URL\\) lacks [^\\n]+\\.\\n$`));
}, 60_000);

import { randomBytes, randomUUID } from "node:crypto";
import { sql } from "kysely";
import { findCandidates, nextReadyAt } from "../../src/postgres/leasing/candidates.ts";
import { findExpired } from "../../src/postgres/leasing/lease-ends.ts";
import { drawTicket } from "../../src/postgres/leasing/leases.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { judge, sortOut } from "../../src/domain/contacts/contact.ts";
import { findCallers, findValidKeys } from "../../src/postgres/api-keys.ts";
import { type JobStatus, jobStatuses } from "../../src/domain/jobs/batch-job.ts";
import { beforeAllJobs } from "../../src/domain/jobs/job-id.ts";
import {
  countAdded,
  findJob,
  lockJob,
  lockScheduledJob,
  standingEntries,
  startDueJobs,
} from "../../src/postgres/jobs/batch-jobs.ts";
import { readChunk, wholeChunk } from "../../src/postgres/contacts/chunks.ts";
import { findContact, listContacts } from "../../src/postgres/contacts/contacts.ts";
import { insertContacts } from "../../src/postgres/contacts/inserting.ts";
import { purgeDeletedContacts } from "../../src/postgres/contacts/purging.ts";
import { readNextAttempts } from "../../src/postgres/contacts/next-attempts.ts";
import { readEvents } from "../../src/postgres/events/events.ts";
import { claimRequest, isKept, keepAnswer, purgeRequests } from "../../src/postgres/jobs/requests.ts";
import { findContactsByPhone } from "../../src/postgres/phones/find-contacts.ts";
import { countSuppressedAmong } from "../../src/postgres/phones/suppressed-contacts.ts";
import { sortPhones } from "../../src/postgres/phones/sorted-phones.ts";
import { jobsToNote, noteCounts, readNoted } from "../../src/postgres/jobs/history.ts";
import { everyJob } from "../../src/postgres/jobs/job-filter.ts";
import { insertLabels } from "../../src/postgres/jobs/job-labels.ts";
import { countJobsByStatus, listJobs } from "../../src/postgres/jobs/job-search.ts";
import { copyContacts } from "../../src/postgres/contacts/copies.ts";
import { toBatchJob } from "../../src/postgres/jobs/job-rows.ts";
import { pageOfContacts, pageOfJobs } from "../../src/postgres/jobs/offset-pages.ts";
import {
  deleteOldJobs,
  entriesDueSoon,
  jobsNow,
  runningJobs,
  scheduledEntries,
} from "../../src/postgres/jobs/sweep.ts";
import { readWaitingJobs } from "../../src/postgres/jobs/waiting-jobs.ts";
import { readVersions } from "../../src/postgres/jobs/watching.ts";
import type { BatchJobRow } from "../../src/postgres/schema/tables.ts";
import { makeContacts, makeJob } from "../support/make.ts";
import { entryIdOf, keyOf, makeJobs } from "../support/make-many.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { type Explained, openExplained } from "../support/plans.ts";
import { sortOutPhones, openStaging } from "../../src/postgres/contacts/staging.ts";
import { writeCalled, writeContacts } from "../support/contact-tables.ts";

/*
 * Every statement that runs often goes through an index and touches few rows, whatever the planner knows: in tables
 * that grew from empty without being analyzed, and once they were. Only deleted_jobs is read as it is: it has a row
 * for each job whose contacts are being removed.
 */

const jobsThere = 3_000;

let parts: Parts;
let explained: Explained;
let jobs: Record<"pending" | "scheduled" | "running" | "large" | "inSets" | "told", BatchJobRow>;
const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());

const noJob = () => ({ organizationId: parts.caller.organizationId, id: randomUUID() });

const entries = () => [entryIdOf(jobs.scheduled), ...Array.from({ length: 99 }, () => randomUUID())];

/** So many events of commands are there, and of attempts: all but five of each of one job. */
const eventsThere = 5_000;
const eventBounds = { size: 50, mostLookedAt: 10_000 };

/** Some of all jobs have the rare label, and all that were made together the common one. */
const rarely = 10;
const rare = { ...everyJob, labels: { season: "spring" } };
const common = { ...everyJob, labels: { customer: "club" } };
const firstPage = { after: undefined, size: 50 };

/** What a copy of the large job looks at: the job, the organization, its blocks, and what notes a new contact's job. */
const ofCopy = 10 + 2 * 420;

const copied =
  (statuses: ("busy" | "pending")[] | undefined, withErased = false) =>
  (db: Explained["db"]) =>
    undone(db, (trx) => {
      const { organizationId } = parts.caller;
      const inEvery = jobStatuses.map((one) => [one, statuses]);
      const asked = statuses && (Object.fromEntries(inEvery) as Record<JobStatus, typeof statuses>);
      const erased = withErased ? { organizationId, key: parts.erasureKey } : undefined;
      return copyContacts(trx, keyOf(jobs.large), randomUUID(), asked, erased);
    });
const ofJob = ({ id }: BatchJobRow) => ({ types: [], batchJobIds: [id] });

/** What is done with the jobs, and at most how many rows it may touch. Each changes what it finds back, or nothing. */
const statements: Record<string, { rows: number; work: (db: Explained["db"]) => Promise<unknown> }> = {
  "showing a job": { rows: 1, work: (db) => findJob(db, parts.caller.organizationId, jobs.pending.id) },
  "listing jobs": {
    rows: 50,
    work: (db) => listJobs(db, parts.caller.organizationId, everyJob, { after: undefined, size: 50 }),
  },
  "the next page of a list": {
    rows: 50,
    work: (db) =>
      listJobs(db, parts.caller.organizationId, everyJob, {
        after: { createdAt: jobs.pending.created_at, id: jobs.pending.id },
        size: 50,
      }),
  },
  "listing jobs by a rare label": {
    rows: 3 * rarely,
    work: (db) => listJobs(db, parts.caller.organizationId, rare, firstPage),
  },
  "listing jobs by a label that many have": {
    rows: 2 * 1_000,
    work: (db) => listJobs(db, parts.caller.organizationId, common, firstPage),
  },
  "listing jobs by a label and a status that none of them has": {
    rows: 2 * (1_000 + 1_001),
    work: (db) => listJobs(db, parts.caller.organizationId, { ...common, statuses: ["paused"] }, firstPage),
  },
  "counting jobs by a rare label": {
    rows: 3 * rarely,
    work: (db) => countJobsByStatus(db, parts.caller.organizationId, rare),
  },
  "counting jobs by a label that many have": {
    rows: 1_001 + 2 * jobsThere + 10,
    work: (db) => countJobsByStatus(db, parts.caller.organizationId, common),
  },
  "counting jobs by their statuses alone": {
    rows: 2 * jobsThere + 10,
    work: (db) => countJobsByStatus(db, parts.caller.organizationId, everyJob),
  },
  "copying all contacts of a job": { rows: ofCopy, work: copied(undefined) },
  "copying those that were busy": { rows: ofCopy + 400, work: copied(["busy"]) },
  "copying those that nobody has called": { rows: ofCopy + 400, work: copied(["pending"]) },
  "copying all but who is suppressed or erased": { rows: ofCopy, work: copied(undefined, true) },
  // For each job a look-up; the last of its jobs has the phone, and the contact is read.
  "finding a phone in 6,000 jobs": {
    rows: 2 * jobsThere + 3_100,
    work: (db) =>
      findContactsByPhone(db, parts.caller.organizationId, "+14155019999", { after: undefined, size: 50 }),
  },
  "looking for phones that are to be sorted": { rows: 0, work: (db) => sortPhones(db) },
  "watching 100 jobs": {
    rows: 100,
    work: (db) => readVersions(db, [keyOf(jobs.running), ...Array.from({ length: 99 }, noJob)]),
  },
  "locking and starting a job that is due": {
    rows: 7,
    work: (db) =>
      undone(db, async (trx) => {
        const { organization_id: organizationId, id } = jobs.scheduled;
        await trx
          .updateTable("batch_jobs")
          .set({ scheduled_at: new Date() })
          .where("organization_id", "=", organizationId)
          .where("id", "=", id)
          .execute();
        await lockScheduledJob(trx, entryIdOf(jobs.scheduled));
        await startDueJobs(trx, [entryIdOf(jobs.scheduled)]);
      }),
  },
  "locking a job": {
    rows: 1,
    work: (db) => undone(db, (trx) => lockJob(trx, parts.caller.organizationId, jobs.pending.id)),
  },
  "counting contacts": {
    rows: 1,
    work: (db) =>
      undone(db, (trx) =>
        countAdded(trx, parts.caller.organizationId, jobs.pending.id, { count: 1, withPhones: true }),
      ),
  },
  "starting the due jobs of 100 entries": { rows: 3, work: (db) => startDueJobs(db, entries()) },
  "locking the job of an entry": {
    rows: 1,
    work: (db) => undone(db, (trx) => lockScheduledJob(trx, entryIdOf(jobs.scheduled))),
  },
  "comparing 100 entries": { rows: 1, work: (db) => standingEntries(db, entries()) },
  "looking for entries that are due soon": { rows: 0, work: (db) => entriesDueSoon(db, 1_000) },
  "walking over scheduled jobs": {
    rows: 202,
    work: async (db) => {
      const page = await scheduledEntries(db, undefined, 100);
      await scheduledEntries(db, page.at(-1), 100);
    },
  },
  "walking over the jobs that wait, and those that a call has moved": {
    rows: 1_000,
    work: (db) =>
      readWaitingJobs(
        db,
        {
          organizationId: parts.caller.organizationId,
          filter: everyJob,
          withStartTime: true,
          createdUpTo: new Date(),
          answersOf: "RescheduleBatchJobs/none",
        },
        beforeAllJobs,
      ),
  },
  "looking for running jobs whose counts have changed": {
    rows: 20,
    work: (db) => jobsToNote(db, { organizationId: 0, id: beforeAllJobs }, 1_000),
  },
  "noting the counts of a job": {
    rows: 3,
    work: (db) => undone(db, (trx) => noteCounts(trx, parts.caller.organizationId, [jobs.running.id])),
  },
  "reading the history of a job": { rows: 1, work: (db) => readNoted(db, keyOf(jobs.running)) },
  "walking over running jobs": {
    rows: 10,
    work: (db) => runningJobs(db, { organizationId: 0, id: beforeAllJobs }, 1_000),
  },
  "confirming running jobs": { rows: 1, work: (db) => jobsNow(db, [keyOf(jobs.running), noJob()]) },
  "adding 1,000 contacts, half of them known": {
    rows: 500,
    work: (db) =>
      undone(db, (trx) =>
        insertContacts(trx, parts.caller.organizationId, jobs.large.id, 100_000, {
          contacts: sortOut(makeContacts(1_000, 19_500).map(judge)).accepted,
          zoneSets: [],
        }),
      ),
  },
  "reading a chunk that nobody has called": {
    rows: 1,
    work: (db) => readChunk(db, parts.caller.organizationId, jobs.large.id, 8_000, 1_000),
  },
  "reading a chunk of which 400 were called": {
    rows: 2 * (400 + 1),
    work: (db) => readChunk(db, parts.caller.organizationId, jobs.large.id, 10_000, 1_000),
  },
  "reading a chunk of contacts in several sets": {
    rows: 1 + 2 * 22,
    work: (db) => wholeChunk(db, parts.caller.organizationId, jobs.inSets.id, 8_000, 1_000),
  },
  // The head of the log, and of the job as many of either kind as there are, to the end of a stretch of the log.
  "reading the few events of a job": {
    rows: 1 + 2 * 5,
    work: (db) => readEvents(db, parts.caller.organizationId, 0, ofJob(jobs.running), eventBounds),
  },
  "reading a page of the events of a job": {
    rows: 1 + 2 * 50 + 128,
    work: (db) => readEvents(db, parts.caller.organizationId, 0, ofJob(jobs.told), eventBounds),
  },
  "reading the last events of a job": {
    rows: 1 + 2 * 3 + 128,
    work: (db) =>
      readEvents(db, parts.caller.organizationId, 2 * eventsThere - 2, ofJob(jobs.told), eventBounds),
  },
  "showing a contact": {
    rows: 3,
    work: (db) => findContact(db, parts.caller.organizationId, jobs.large.id, 10_001),
  },
  // The job, and of each contact, and of one more, its block and, if it was called, its state.
  "listing contacts": {
    rows: 1 + 2 * 51,
    work: (db) =>
      listContacts(db, parts.caller.organizationId, jobs.large.id, undefined, { after: 10_000, size: 50 }),
  },
  // A search looks first how far it may go, which is over the attempts that there are.
  "listing contacts by an outcome": {
    rows: 1 + 400 + 3 * 51,
    work: (db) =>
      listContacts(db, parts.caller.organizationId, jobs.large.id, ["busy"], { after: 9_000, size: 50 }),
  },
  "listing pending contacts, after 400 that were called": {
    rows: 1 + 400 + 2 + 400 + 51,
    work: (db) =>
      listContacts(db, parts.caller.organizationId, jobs.large.id, ["pending"], { after: 10_000, size: 50 }),
  },
  "a page of jobs by its number": {
    rows: 60,
    work: (db) => pageOfJobs(db, parts.caller.organizationId, [], { offset: 10, size: 50 }),
  },
  "a page of contacts by its number": {
    rows: 3 * 50,
    work: (db) =>
      pageOfContacts(db, { ...toBatchJob(jobs.large), totalContacts: 20_000 }, undefined, {
        offset: 10_000,
        size: 50,
      }),
  },
  // Those before the page are looked at, too.
  "a page of contacts with an outcome by its number": {
    rows: 400 + 3 * 50,
    work: (db) => pageOfContacts(db, toBatchJob(jobs.large), ["busy"], { offset: 100, size: 50 }),
  },
  "listing contacts that are being called": {
    rows: 50,
    work: (db) =>
      listContacts(db, parts.caller.organizationId, jobs.large.id, ["dialing"], { after: 0, size: 50 }),
  },
  "removing a chunk of a deleted job's contacts": {
    rows: 3 * 100 + 10,
    work: (db) =>
      undone(db, async (trx) => {
        await sql`insert into deleted_jobs values (${parts.caller.organizationId}, ${jobs.large.id}, 20000)`.execute(
          trx,
        );
        const nested = { transaction: () => ({ execute: (work: (t: typeof trx) => unknown) => work(trx) }) };
        await purgeDeletedContacts(nested as unknown as Explained["db"], 100);
      }),
  },
  // A trigger may look at the count of the organization's contacts.
  "deleting old jobs": { rows: 1, work: (db) => deleteOldJobs(db, parts.caller.organizationId, 30, 100) },
  "keeping and finding a request": {
    rows: 8,
    work: async (db) => {
      const organizationId = parts.caller.organizationId;
      const key = { organizationId, rpc: "X", requestId: randomUUID(), fingerprint: randomBytes(32) };
      await db.transaction().execute(async (trx) => {
        await claimRequest(trx, key);
        await keepAnswer(trx, key, {});
      });
      await isKept(db, key);
    },
  },
  "looking for jobs with contacts to lease": {
    rows: 10,
    work: (db) =>
      findCandidates(db, parts.caller.organizationId, {
        afterJobId: beforeAllJobs,
        onlyJobIds: [],
        limit: 32,
      }),
  },
  "telling when the retries of twelve sets are made": {
    rows: 2 * 12,
    work: (db) =>
      readNextAttempts(
        db,
        parts.caller.organizationId,
        Array.from({ length: 50 }, (_, i) => ({ jobId: jobs.inSets.id, zoneSet: i % 12, at: new Date() })),
      ),
  },
  // The job, its organization, and the blocks.
  "counting whose phones are suppressed among 1,000 contacts": {
    rows: 2 + 25,
    work: (db) => countSuppressedAmong(db, keyOf(jobs.large), { after: 12_000, upTo: 13_000 }),
  },
  "looking for the next retry": { rows: 10, work: (db) => nextReadyAt(db, parts.caller.organizationId) },
  "drawing a ticket": {
    rows: 10,
    work: (db) => drawTicket(db, parts.caller.organizationId, "a request"),
  },
  "looking for leases that have run out": {
    rows: 10,
    work: (db) => findExpired(db, 1_000, { jobIds: [beforeAllJobs], organizationIds: [0] }),
  },
  "removing expired requests": {
    rows: 0,
    work: (db) => purgeRequests(db, parts.caller.organizationId, 1_000),
  },
  "finding 100 callers": {
    rows: 1,
    work: (db) =>
      findCallers(
        db,
        Array.from({ length: 100 }, () => randomBytes(32)),
      ),
  },
  "looking whether 100 keys are valid": {
    rows: 1,
    work: (db) =>
      findValidKeys(
        db,
        Array.from({ length: 100 }, () => ({ ...parts.caller, apiKeyId: randomUUID() })),
      ),
  },
};

/** Does the work and rolls it back. */
async function undone(db: Explained["db"], work: (trx: Parameters<typeof lockJob>[0]) => Promise<unknown>) {
  const back = new Error("back");
  await db
    .transaction()
    .execute(async (trx) => {
      await work(trx);
      throw back;
    })
    .catch((error: unknown) => {
      if (error !== back) throw error;
    });
}

beforeAll(async () => {
  parts = stack.use(await startParts());
  const tables = [
    "batch_jobs",
    "contact_blocks",
    "contact_phones",
    "requests",
    "deleted_jobs",
    "api_keys",
    "attempts",
    "events",
    "leases",
    "suppressed_phones",
    "erased_phones",
    "job_labels",
  ];
  for (const table of tables) {
    await sql`alter table ${sql.table(table)} set (autovacuum_enabled = false)`.execute(parts.db);
  }
  explained = stack.use(await openExplained(parts.databaseUrl));
  jobs = {
    pending: await makeJob(parts),
    scheduled: await makeJob(parts, { status: "scheduled" }),
    running: await makeJob(parts, { status: "running" }),
    large: await makeJob(parts, { contacts: 10 }),
    inSets: await makeJob(parts, { contacts: 10 }),
    told: await makeJob(parts),
  };
  // The connection knows its statements from tables that are as good as empty, and has planned those that are prepared
  // for good: for whatever parameters, after they were planned five times for those given.
  for (const { work } of Object.values(statements)) {
    for (let times = 0; times <= 5; times += 1) await work(explained.db);
  }
  const many = await makeJobs(parts, jobsThere, { status: "scheduled", contacts: 3 });
  await sql`
    update batch_jobs set labels = '{"customer": "club"}' where id = any(${many.map(({ id }) => id)}::uuid[])`.execute(
    parts.db,
  );
  await sql`
    update batch_jobs set labels = labels || '{"season": "spring"}'
    where id = any(${many.slice(0, rarely).map(({ id }) => id)}::uuid[])`.execute(parts.db);
  await parts.db.transaction().execute((trx) => insertLabels(trx, many.map(keyOf)));
  await sql`
    insert into batch_jobs (organization_id, name, description, from_phone_number_id, status, timezone, started_at,
      finished_at, concurrent_call_limit, max_attempts, retry_on, retry_delays_ms)
    select ${parts.caller.organizationId}, 'An old one', '', 'pn_1', 'completed', 'UTC', now(), now(), 5, 3, '{busy}', '{1}'
    from generate_series(1, ${jobsThere}::int)`.execute(parts.db);
  await sql`
    insert into requests (organization_id, rpc, request_id, fingerprint)
    select ${parts.caller.organizationId}, 'X', n::text, '' from generate_series(1, 20000) n`.execute(
    parts.db,
  );
  await writeContacts(parts.db, [jobs.large.id], { from: 11, to: 20_000 });
  await sql`
    insert into contact_phones (organization_id, job_id, phone)
    select ${parts.caller.organizationId}, ${jobs.large.id}, 14155000000 + n - 1 from generate_series(11, 20000) n`.execute(
    parts.db,
  );
  await sql`
    insert into api_keys (organization_id, name, role, hash)
    select ${parts.caller.organizationId}, '', 'viewer', sha256(n::text::bytea) from generate_series(1, 5000) n`.execute(
    parts.db,
  );
  await sql`
    insert into attempts (
      organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome)
    select ${parts.caller.organizationId}, gen_random_uuid(), n, 1, 0, '', now(), now(), now(), 'busy' from generate_series(1, 5000) n`.execute(
    parts.db,
  );
  const { organizationId } = parts.caller;
  const jobOfEvent = sql`case when n % 1000 = 500 then ${jobs.running.id}::uuid else ${jobs.told.id}::uuid end`;
  await sql`
    insert into events (organization_id, sequence, occurred_at, actor, type, request_id, batch_job_id)
    select ${organizationId}, 2 * n, now(), 'service', 'batch_job.updated', '', ${jobOfEvent}
    from generate_series(1, ${eventsThere}::int) n`.execute(parts.db);
  await sql`
    insert into attempts (
      organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome, sequence)
    select ${organizationId}, ${jobOfEvent}, 100000 + n, 1, 0, '', now(), now(), now(), 'busy', 2 * n + 1
    from generate_series(1, ${eventsThere}::int) n`.execute(parts.db);
  await sql`
    insert into event_heads (organization_id, sequence) values (${organizationId}, ${2 * eventsThere + 1})
    on conflict (organization_id) do update set sequence = excluded.sequence`.execute(parts.db);
  await writeContacts(parts.db, [jobs.inSets.id], { from: 11, to: 20_000 });
  await sql`
    update contact_blocks set zone_sets = array(select (n % 12)::smallint from generate_series(1, 50) n)
    where job_id = ${jobs.inSets.id}`.execute(parts.db);
  await sql`update batch_jobs set total_contacts = 20000, zone_sets = 12, pending_contacts = 20000 where id = ${jobs.inSets.id}`.execute(
    parts.db,
  );
  const called = Array.from({ length: 400 }, (_, i) => 10_001 + i);
  await writeCalled(parts.db, jobs.large, called, "busy");
  await sql`
    insert into leases (
      organization_id, job_id, number, attempt, nonce, worker_id, request_id, leased_at, expires_at)
    select ${parts.caller.organizationId}, gen_random_uuid(), n, 1, 0, '', 'request ' || n, now(), now() + interval '1 hour'
    from generate_series(1, 5000) n`.execute(parts.db);
  await sql`
    insert into suppressed_phones (organization_id, phone, added_at, reason)
    select ${parts.caller.organizationId}, 14160000000 + n, now(), '' from generate_series(1, 5000) n`.execute(
    parts.db,
  );
  await sql`
    insert into erased_phones (organization_id, hash)
    select ${parts.caller.organizationId}, sha256(n::text::bytea) from generate_series(1, 5000) n`.execute(
    parts.db,
  );
  await sql`update organizations set suppressed_phones = 5000 where id = ${parts.caller.organizationId}`.execute(
    parts.db,
  );
  await sql`
    insert into retries (organization_id, job_id, number, due_at)
    select ${parts.caller.organizationId}, gen_random_uuid(), n, now() from generate_series(1, 5000) n`.execute(
    parts.db,
  );
  await sql`update batch_jobs set total_contacts = 20000, pending_contacts = 20000 where id = ${jobs.large.id}`.execute(
    parts.db,
  );
});

/** Of these nothing is left now and then: a day after the last command, or when old jobs have been deleted. */
const emptied = [
  "attempts",
  "batch_jobs",
  "contact_blocks",
  "contact_phones",
  "deleted_jobs",
  "erased_phones",
  "events",
  "job_labels",
  "leases",
  "rejected_rows",
  "requests",
  "retries",
  "suppressed_phones",
  "webhook_deliveries",
  "zone_sets",
];

/** What a planner knows of the tables. */
const states: Record<string, () => Promise<unknown>> = {
  "that grew from empty without being analyzed": async () => {},
  // A vacuum then finds a page without a row: all pages that come to the table are taken to have none.
  "that were vacuumed while they were empty": () =>
    sql`
      update pg_class set relpages = 1, reltuples = 0
      where relname = any (${emptied}) and relnamespace = current_schema()::regnamespace`.execute(parts.db),
  "that were analyzed": () => sql`analyze`.execute(parts.db),
};

describe.each(Object.entries(states))("in tables %s", (_, bringAbout) => {
  beforeAll(async () => void (await bringAbout()));

  test.each(Object.keys(statements))("%s goes through an index and touches few rows", async (name) => {
    const statement = statements[name];
    const scans = await explained.scansOf(async () => await statement?.work(explained.db));
    expect(scans.length).toBeGreaterThan(0);
    expect(scans.filter(({ how, table }) => how === "Seq Scan" && table !== "deleted_jobs")).toEqual([]);
    const rows = scans.reduce((sum, scan) => sum + scan.rows, 0);
    expect(rows).toBeLessThanOrEqual(statement?.rows ?? 0);
  });

  test("adding a file's contacts looks phones up by index", async () => {
    await using staging = await openStaging(parts.databaseUrl, parts.caller.organizationId);
    const rows = makeContacts(2_000, 19_000).map((c, i) => `${i + 1}\t${i + 2}\t${c.phone.slice(1)}\n`);
    await staging.stage(rows.join(""), "");
    const { rows: plan } = await sql<{ "QUERY PLAN": string }>`
      explain select 1 from ${staging.tables.phones} s left join lateral (
        select p.phone from contact_phones p
        where p.organization_id = s.organization_id and p.job_id = ${jobs.large.id} and p.phone = s.phone limit 1
      ) as known on true`.execute(staging.db);
    expect(plan.map((line) => line["QUERY PLAN"]).join("\n")).not.toContain("Seq Scan on contact_phones");
    await undone(staging.db, async (trx) => {
      const job = { ...toBatchJob(jobs.large), totalContacts: 20_000 };
      expect(await sortOutPhones(trx, staging.tables, job, 1)).toEqual({
        count: 1_000,
        first: [{ line: 2, phone: "+14155019000" }],
      });
    });
  });
});

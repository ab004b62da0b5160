import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { JobStatus } from "../../src/domain/jobs/batch-job.ts";
import type { ContactStatus, StoredContactStatus } from "../../src/domain/contacts/contact.ts";
import { everyJob } from "../../src/postgres/jobs/job-filter.ts";
import { listJobs } from "../../src/postgres/jobs/job-search.ts";
import { listContacts } from "../../src/postgres/contacts/contacts.ts";
import { makeJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { type Explained, openExplained } from "../support/plans.ts";

/*
 * A search that finds little looks at no more than 10,000 rows for one page, says where it stopped, and comes to the
 * end page by page, with all that there is to find.
 */

const jobsThere = 50_000;
const contactsThere = 60_000;
const mostLookedAt = 10_000;

let parts: Parts;
let explained: Explained;
let jobId: string;
const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());

beforeAll(async () => {
  parts = stack.use(await startParts());
  explained = stack.use(await openExplained(parts.databaseUrl));
  await sql`
    insert into batch_jobs (organization_id, name, description, from_phone_number_id, status, timezone, started_at,
      finished_at, concurrent_call_limit, max_attempts, retry_on, retry_delays_ms, created_at)
    select ${parts.caller.organizationId}, case when n % 24999 = 0 then 'A needle' else 'Hay' end, '', 'pn_1',
      case when n % 24999 = 0 then 'paused' else 'completed' end, 'UTC', now(),
      case when n % 24999 = 0 then null else now() end, 5, 3, '{busy}', '{1}',
      timestamptz '2026-01-01Z' + (n / 3) * interval '1 millisecond'
    from generate_series(1, ${jobsThere}::int) n`.execute(parts.db);
  // Every contact was called twice, and then was busy, but for two, and the last ten were not called.
  ({ id: jobId } = await makeJob(parts, { status: "running", contacts: 3 }));
  await sql`
    insert into contact_blocks (organization_id, job_id, first_number, contacts)
    select ${parts.caller.organizationId}, ${jobId}, min(n), string_agg('+1415' || (5000000 + n - 1) || E'\\t\\t{}', E'\\n' order by n)
    from generate_series(4, ${contactsThere}::int) n group by n / 50`.execute(parts.db);
  await sql`
    insert into attempts (
      organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome, next_attempt_at)
    select ${parts.caller.organizationId}, ${jobId}, n, attempt, 0, '', now(), now(), now(),
      case when attempt = 1 or n % 19999 > 0 then 'busy' else 'completed' end, case when attempt = 1 then now() end
    from generate_series(1, ${contactsThere - 10}::int) n, generate_series(1, 2) attempt`.execute(parts.db);
  await sql`
    update batch_jobs set total_contacts = ${contactsThere}, pending_contacts = 10, completed_contacts = 2,
      busy_contacts = ${contactsThere - 12} where id = ${jobId}`.execute(parts.db);
});

/** How many rows of a table were looked at. */
async function rowsOf(table: string, work: () => Promise<unknown>): Promise<number> {
  const scans = await explained.scansOf(work);
  return scans.filter((scan) => scan.table === table).reduce((sum, { rows }) => sum + rows, 0);
}

describe.each(["that were never analyzed", "that were analyzed"])("in tables %s", (state) => {
  beforeAll(async () => {
    if (state === "that were analyzed") await sql`analyze`.execute(parts.db);
  });

  test.each<[string, { statuses: JobStatus[]; nameContains: string }]>([
    ["a name that no job has", { statuses: [], nameContains: "nowhere" }],
    ["a rare name", { statuses: [], nameContains: "needle" }],
    ["a status that no job has", { statuses: ["cancelled"], nameContains: "" }],
  ])("%s is looked for in 10,000 jobs at a time", async (_, filter) => {
    const { organizationId } = parts.caller;
    const rows = await rowsOf("batch_jobs", () =>
      listJobs(explained.db, organizationId, { ...everyJob, ...filter }, { after: undefined, size: 51 }),
    );
    expect(rows).toBeGreaterThan(0);
    expect(rows).toBeLessThanOrEqual(mostLookedAt);
  });

  test("a page that is full looks at no more than it needs", async () => {
    const { organizationId } = parts.caller;
    const filter = { statuses: ["completed" as const], nameContains: "hay" };
    const rows = await rowsOf("batch_jobs", () =>
      listJobs(explained.db, organizationId, { ...everyJob, ...filter }, { after: undefined, size: 51 }),
    );
    expect(rows).toBeLessThan(100);
  });

  // For the end of the search, and for what is found up to there.
  test.each<[StoredContactStatus[]]>([[["completed"]], [["pending"]], [["voicemail", "pending", "dialing"]]])(
    "contacts in the statuses %j are looked for in some 10,000 attempts at a time",
    async (statuses) => {
      const rows = await rowsOf("attempts", () =>
        listContacts(explained.db, parts.caller.organizationId, jobId, statuses, { after: 0, size: 50 }),
      );
      expect(rows).toBeGreaterThan(0);
      expect(rows).toBeLessThanOrEqual((1 + statuses.length) * mostLookedAt + 100);
    },
  );

  test("contacts that are being called are found without a look at attempts", async () => {
    expect(
      await rowsOf("attempts", () =>
        listContacts(explained.db, parts.caller.organizationId, jobId, ["dialing"], { after: 0, size: 50 }),
      ),
    ).toBe(0);
  });
});

test("page by page a search comes to the end, with every job that there is to find", async () => {
  const filter = { nameContains: "NEEDLE" };
  const names: string[] = [];
  let pages = 0;
  for (let token = ""; ; pages += 1) {
    const page = await parts.jobs.list(parts.caller, filter, { size: 50, token });
    names.push(...page.jobs.map(({ name }) => name));
    token = page.nextPageToken;
    if (token === "") break;
  }
  expect(names).toEqual(["A needle", "A needle"]);
  expect(pages).toBe(jobsThere / mostLookedAt);
});

test.each<[ContactStatus[], number[]]>([
  [["completed"], [19_999, 39_998]],
  [["pending"], Array.from({ length: 10 }, (_, i) => contactsThere - 9 + i)],
])(
  "page by page a search for contacts in %j comes to the end with all of them",
  async (statuses, expected) => {
    const numbers: number[] = [];
    let empty = 0;
    for (let token = ""; ;) {
      const page = await parts.jobs.listContacts(parts.caller, jobId, statuses, { size: 4, token });
      numbers.push(...page.contacts.map(({ number }) => number));
      if (page.contacts.length === 0) empty += 1;
      token = page.nextPageToken;
      if (token === "") break;
    }
    expect(numbers).toEqual(expected);
    expect(empty).toBeGreaterThan(0);
  },
);

test("contacts in a status that the job counts none of are not looked for", async () => {
  const page = await parts.jobs.listContacts(parts.caller, jobId, ["voicemail"], { size: 50, token: "" });
  expect(page).toEqual({ contacts: [], nextPageToken: "" });
});

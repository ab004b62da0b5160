import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ContactStatus } from "../../src/domain/contacts/contact.ts";
import { writePageToken } from "../../src/domain/page-token.ts";
import { writeCalled } from "../support/contact-tables.ts";
import { makeJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

/** A job with seven contacts: pending, dialing, waiting, completed, busy, pending and failed. */
async function makeMixedJob(status: "running" | "paused" | "cancelled") {
  const job = await makeJob(parts, { status, contacts: 7, dialing: 0 });
  const { id, organization_id } = job;
  await sql`
    insert into leases (
      organization_id, job_id, number, attempt, nonce, worker_id, request_id, leased_at, expires_at)
    values (${organization_id}, ${id}, 2, 1, 0, 'worker-1', '', clock_timestamp(), clock_timestamp() + interval '1 hour')
  `.execute(parts.db);
  await sql`
    insert into retries (organization_id, job_id, number, due_at)
    values (${organization_id}, ${id}, 3, clock_timestamp())
  `.execute(parts.db);
  await writeCalled(parts.db, job, [3], "busy", new Date());
  await writeCalled(parts.db, job, [4], "completed");
  await writeCalled(parts.db, job, [5], "busy");
  await writeCalled(parts.db, job, [7], "failed");
  await sql`
    update batch_jobs set pending_contacts = 2, dialing_contacts = 1, waiting_retry_contacts = 1,
      completed_contacts = 1, busy_contacts = 1, failed_contacts = 1, started_at = clock_timestamp()
    where id = ${id}
  `.execute(parts.db);
  return id;
}

async function numberPages(jobId: string, statuses: readonly ContactStatus[], size: number) {
  const pages: number[][] = [];
  let token = "";
  do {
    const page = await parts.jobs.listContacts(parts.caller, jobId, statuses, { size, token });
    pages.push(page.contacts.map((contact) => contact.number));
    token = page.nextPageToken;
  } while (token !== "");
  return pages;
}

const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

test.each([
  [0, [50, 50, 3]],
  [1, upTo(103).map(() => 1)],
  [50, [50, 50, 3]],
  [102, [102, 1]],
  [1_000, [103]],
  [5_000, [103]],
])("with a page size of %i, 103 contacts come by number in full pages and a rest", async (size, lengths) => {
  const { id } = await makeJob(parts, { contacts: 103 });
  const pages = await numberPages(id, [], size);
  expect(pages.flat()).toEqual(upTo(103));
  expect(pages.map((page) => page.length)).toEqual(lengths);
});

test("a page has at most 1,000 contacts, however many are asked for", async () => {
  const { id } = await makeJob(parts, { contacts: 1_001 });
  expect(await numberPages(id, [], 5_000)).toEqual([upTo(1_000), [1_001]]);
});

test.each<["running" | "paused" | "cancelled", ContactStatus[]]>([
  ["running", ["pending", "dialing", "waiting_retry", "completed", "busy", "pending", "failed"]],
  ["paused", ["pending", "dialing", "waiting_retry", "completed", "busy", "pending", "failed"]],
  ["cancelled", ["cancelled", "dialing", "cancelled", "completed", "busy", "cancelled", "failed"]],
])("of a %s job they are %j", async (status, expected) => {
  const id = await makeMixedJob(status);
  const { contacts } = await parts.jobs.listContacts(parts.caller, id, [], { size: 0, token: "" });
  expect(contacts.map((contact) => contact.status)).toEqual(expected);
});

test.each<["running" | "cancelled", ContactStatus[], number[]]>([
  ["running", ["pending"], [1, 6]],
  ["running", ["pending", "waiting_retry"], [1, 3, 6]],
  ["running", ["failed", "busy"], [5, 7]],
  ["running", ["cancelled"], []],
  ["running", ["cancelled", "completed"], [4]],
  ["running", ["voicemail"], []],
  ["cancelled", ["cancelled"], [1, 3, 6]],
  ["cancelled", ["cancelled", "dialing"], [1, 2, 3, 6]],
  ["cancelled", ["completed"], [4]],
  ["cancelled", ["pending"], []],
  ["cancelled", ["waiting_retry"], []],
])("of a %s job, with the statuses %j come the numbers %j", async (status, statuses, expected) => {
  const id = await makeMixedJob(status);
  expect((await numberPages(id, statuses, 0)).flat()).toEqual(expected);
  expect((await numberPages(id, statuses, 1)).flat()).toEqual(expected);
});

test("a token of another job or filter is refused", async () => {
  const [one, other] = [await makeJob(parts), await makeJob(parts)];
  const { nextPageToken: token } = await parts.jobs.listContacts(parts.caller, one.id, [], {
    size: 2,
    token: "",
  });
  const list = (jobId: string, statuses: ContactStatus[]) =>
    refusal(parts.jobs.listContacts(parts.caller, jobId, statuses, { size: 2, token }));
  expect(token).not.toBe("");
  expect(await list(other.id, [])).toMatchObject({ reason: "invalid_page_token" });
  expect(await list(one.id, ["pending"])).toMatchObject({ reason: "invalid_page_token" });
});

test.each([
  ["no key", []],
  ["text", ["1"]],
  ["a broken number", [1.5]],
  ["a negative number", [-1]],
  ["a number that no column holds", [2 ** 31]],
])("a token that was made up is refused: %s", async (_, keys) => {
  const { id } = await makeJob(parts);
  const token = writePageToken(["contacts", id, []], keys);
  expect(await refusal(parts.jobs.listContacts(parts.caller, id, [], { size: 2, token }))).toMatchObject({
    reason: "invalid_page_token",
  });
});

test.each<[ContactStatus[]]>([[[]], [["pending"]], [["busy", "dialing", "pending"]]])(
  "after the largest number that a column holds come none, with the statuses %j",
  async (statuses) => {
    const { id } = await makeJob(parts);
    const token = writePageToken(["contacts", id, statuses.toSorted()], [2 ** 31 - 1]);
    expect(await parts.jobs.listContacts(parts.caller, id, statuses, { size: 1_000, token })).toEqual({
      contacts: [],
      nextPageToken: "",
    });
  },
);

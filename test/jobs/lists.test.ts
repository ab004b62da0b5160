import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { JobStatus } from "../../src/domain/jobs/batch-job.ts";
import type { Caller } from "../../src/domain/caller.ts";
import { writePageToken } from "../../src/domain/page-token.ts";
import { makeJobs } from "../support/make-many.ts";
import { makeJob } from "../support/make.ts";
import { makeCaller } from "../support/organization.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

const all: { statuses: readonly JobStatus[]; nameContains: string } = { statuses: [], nameContains: "" };
const firstPage = { size: 0, token: "" };
const here = (caller: Caller) => ({ ...parts, caller });

/** Every page from the first to the last: the ids on each. */
async function pagesOf(caller: Caller, filter: typeof all, size: number): Promise<string[][]> {
  const pages: string[][] = [];
  let token = "";
  do {
    const page = await parts.jobs.list(caller, filter, { size, token });
    pages.push(page.jobs.map((job) => job.id));
    token = page.nextPageToken;
  } while (token !== "");
  return pages;
}

/** Spreads an organization's jobs over so many instants; the answer is their ids, newest first. */
async function spread({ organizationId }: Caller, instants: number): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    with numbered as (select id, row_number() over (order by id) as i from batch_jobs
      where organization_id = ${organizationId})
    update batch_jobs j set created_at = timestamptz '2026-01-01Z' + (i % ${instants}) * interval '1 millisecond'
    from numbered n where n.id = j.id returning j.id, j.created_at
  `.execute(parts.db);
  const sorted = await sql<{ id: string }>`
    select id from batch_jobs where id = any(${rows.map((row) => row.id)}::uuid[])
    order by created_at desc, id desc
  `.execute(parts.db);
  return sorted.rows.map((row) => row.id);
}

describe("listing jobs", () => {
  test.each([
    ["every one with a time of its own", 120],
    ["40 at each of three instants", 3],
    ["all at one instant", 1],
  ])("120 jobs come newest first and once each over pages of 7: %s", async (_, instants) => {
    const caller = await makeCaller(parts);
    await makeJobs(here(caller), 120, { status: "pending", contacts: 0 });
    const ids = await spread(caller, instants);
    const pages = await pagesOf(caller, all, 7);
    expect(pages.flat()).toEqual(ids);
    expect(pages.map((page) => page.length)).toEqual([...Array.from({ length: 17 }, () => 7), 1]);
  });

  test.each([
    [0, [50, 50, 3]],
    [1, Array.from({ length: 103 }, () => 1)],
    [50, [50, 50, 3]],
    [102, [102, 1]],
    [103, [103]],
    [1_000, [103]],
    [5_000, [103]],
  ])("with a page size of %i, 103 jobs come in full pages and a rest", async (size, lengths) => {
    const caller = await makeCaller(parts);
    await makeJobs(here(caller), 103, { status: "pending", contacts: 0 });
    expect((await pagesOf(caller, all, size)).map((page) => page.length)).toEqual(lengths);
  });

  test("a page has at most 1,000 jobs, however many are asked for", async () => {
    const caller = await makeCaller(parts);
    await makeJobs(here(caller), 1_001, { status: "pending", contacts: 0 });
    expect((await pagesOf(caller, all, 5_000)).map((page) => page.length)).toEqual([1_000, 1]);
  });

  test("a job that is made while pages are read moves nothing on the later ones", async () => {
    const caller = await makeCaller(parts);
    await makeJobs(here(caller), 10, { status: "pending", contacts: 0 });
    const ids = await spread(caller, 10);
    const first = await parts.jobs.list(caller, all, { size: 5, token: "" });
    await makeJob(here(caller));
    const second = await parts.jobs.list(caller, all, { size: 5, token: first.nextPageToken });
    expect(second.jobs.map((job) => job.id)).toEqual(ids.slice(5));
  });

  test.each<[JobStatus[], JobStatus[]]>([
    [["paused"], ["paused"]],
    [
      ["cancelled", "pending"],
      ["cancelled", "pending"],
    ],
    [["failed", "failed"], ["failed"]],
  ])("with the statuses %j only such jobs come", async (statuses, expected) => {
    const caller = await makeCaller(parts);
    const every = ["pending", "scheduled", "running", "paused", "completed", "failed", "cancelled"] as const;
    for (const status of every) await makeJob(here(caller), { status });
    const { jobs } = await parts.jobs.list(caller, { ...all, statuses }, firstPage);
    expect(jobs.map((job) => job.status).toSorted()).toEqual(expected);
  });

  test.each<[string, string[]]>([
    ["", ["100% done", "100 done", "a\\b", "a_b", "axb", "SPRING", "\u00c4pfel"]],
    ["%", ["100% done"]],
    ["0%", ["100% done"]],
    ["_", ["a_b"]],
    ["a_b", ["a_b"]],
    ["\\", ["a\\b"]],
    ["\\b", ["a\\b"]],
    ["\\_", []],
    ["spring", ["SPRING"]],
    ["A_B", ["a_b"]],
    ["\u00e4pf", ["\u00c4pfel"]],
    ["%%", []],
    ["'", []],
    ["a b", []],
  ])("with %j in the name come %j", async (nameContains, expected) => {
    const caller = await makeCaller(parts);
    const names = ["axb", "a_b", "a\\b", "100% done", "100 done", "SPRING", "\u00c4pfel"];
    for (const name of names) await makeJob(here(caller), { name, contacts: 0 });
    const { jobs } = await parts.jobs.list(caller, { ...all, nameContains }, firstPage);
    expect(jobs.map((job) => job.name).toSorted()).toEqual(expected.toSorted());
  });

  test("filters hold over all pages, and both at once", async () => {
    const caller = await makeCaller(parts);
    const wanted = [];
    for (let i = 0; i < 5; i += 1) {
      wanted.push((await makeJob(here(caller), { name: `Spring ${i}`, status: "paused" })).id);
      await makeJob(here(caller), { name: `Spring ${i}` });
      await makeJob(here(caller), { name: `Autumn ${i}`, status: "paused" });
    }
    const pages = await pagesOf(caller, { statuses: ["paused"], nameContains: "spring" }, 2);
    expect(pages.flat().toSorted()).toEqual(wanted.toSorted());
    expect(pages.map((page) => page.length)).toEqual([2, 2, 1]);
  });

  test("a token of one filter is refused by another, and the order of statuses does not matter", async () => {
    const caller = await makeCaller(parts);
    await makeJobs(here(caller), 3, { status: "pending", contacts: 0 });
    const filter = { ...all, statuses: ["pending", "paused"] as const };
    const { nextPageToken: token } = await parts.jobs.list(caller, filter, { size: 2, token: "" });
    const turned = { ...all, statuses: ["paused", "pending"] as const };
    expect((await parts.jobs.list(caller, turned, { size: 2, token })).jobs).toHaveLength(1);
    const list = (by: Caller, of: typeof all) => refusal(parts.jobs.list(by, of, { size: 2, token }));
    const refused = { reason: "invalid_page_token", metadata: { field: "page_token" } };
    expect(await list(caller, all)).toMatchObject(refused);
    expect(await list(caller, { ...filter, nameContains: "x" })).toMatchObject(refused);
    expect(await list(parts.caller, filter)).toMatchObject(refused);
  });

  const id = "0a4e2f4a-9d47-4c9a-8f55-6f3d2f9f7c01";
  test.each([
    ["no keys", []],
    ["one key", [1_800_000_000_000]],
    ["a time that is text", ["2027-03-01", id]],
    ["a broken time", [0.5, id]],
    ["a time before all times", [-8_640_000_000_000_000, id]],
    ["a time after all times", [8_640_000_000_000_001, id]],
    ["an id that is none", [1_800_000_000_000, "id-1"]],
    ["an id that is a number", [1_800_000_000_000, 1]],
  ])("a token that was made up is refused: %s", async (_, keys) => {
    const token = writePageToken(["jobs", parts.caller.organizationId, [], ""], keys);
    expect(await refusal(parts.jobs.list(parts.caller, all, { size: 2, token }))).toMatchObject({
      reason: "invalid_page_token",
    });
  });
});

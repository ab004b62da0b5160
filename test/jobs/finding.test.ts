import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Caller } from "../../src/domain/caller.ts";
import { sortPhones } from "../../src/postgres/phones/sorted-phones.ts";
import { deleteOldJobs } from "../../src/postgres/jobs/sweep.ts";
import { writeCalled } from "../support/contact-tables.ts";
import { importContacts } from "../support/import-file.ts";
import { aNewJob, createJobWith, makeContacts, makeJob, onJob } from "../support/make.ts";
import { makeCaller } from "../support/organization.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

const aPerson = { phone: "+4915123456789", name: "Ada", fields: {} };
const as = (caller: Caller) => ({ ...parts, caller });

/** The jobs and numbers on every page. */
async function found(
  caller: Caller,
  phone: string,
  size = 1_000,
): Promise<[jobId: string, number: number][]> {
  const all: [string, number][] = [];
  let token = "";
  do {
    const page = await parts.jobs.findContacts(caller, phone, { size, token });
    all.push(...page.found.map(({ contact }): [string, number] => [contact.jobId, contact.number]));
    token = page.nextPageToken;
  } while (token !== "");
  return all;
}

async function sortAll(): Promise<void> {
  while (await sortPhones(parts.db)) {
    // Goes on with the next part.
  }
}

const ways: Record<string, (caller: Caller) => Promise<[jobId: string, number: number]>> = {
  async "given with its job"(caller) {
    return [await createJobWith(as(caller), [...makeContacts(5), aPerson]), 6];
  },
  async "added to its job"(caller) {
    const id = await createJobWith(as(caller), makeContacts(5));
    await parts.jobs.addContacts(onJob({ caller }, id), [...makeContacts(6), aPerson]);
    return [id, 7];
  },
  async "in the first file of its job"(caller) {
    const id = await createJobWith(as(caller), []);
    await importContacts(as(caller), id, [...makeContacts(500), makeContacts(1)[0] ?? aPerson, aPerson]);
    return [id, 501];
  },
  async "in a further file of its job"(caller) {
    const id = await createJobWith(as(caller), makeContacts(3));
    await importContacts(as(caller), id, [...makeContacts(500), aPerson]);
    return [id, 501];
  },
  async "in a further file of nothing but new contacts"(caller) {
    const id = await createJobWith(as(caller), makeContacts(3));
    await importContacts(as(caller), id, [...makeContacts(10, 100), aPerson]);
    return [id, 14];
  },
  async "in a file to whose job others were added"(caller) {
    const id = await createJobWith(as(caller), []);
    await importContacts(as(caller), id, [...makeContacts(500), aPerson]);
    await parts.jobs.addContacts(onJob({ caller }, id), makeContacts(510));
    return [id, 501];
  },
  async "copied from another job"(caller) {
    const source = await makeJob({ ...as(caller) }, { status: "paused", contacts: 10 });
    await parts.jobs.addContacts(onJob({ caller }, source.id), [aPerson]);
    await writeCalled(parts.db, source, [2, 3, 4], "busy");
    await sql`update batch_jobs set busy_contacts = 3, pending_contacts = pending_contacts - 3 where id = ${source.id}`.execute(
      parts.db,
    );
    const copyContacts = { batchJobId: source.id, statuses: ["pending" as const] };
    const { batchJobId } = await parts.jobs.create(
      onJob({ caller }, ""),
      aNewJob({ contacts: [], copyContacts }),
    );
    await parts.jobs.delete(onJob({ caller }, source.id));
    return [batchJobId, 8];
  },
};

describe.each(Object.keys(ways))("a contact %s", (way) => {
  test("is found by its phone, before its job is sorted and afterwards", async () => {
    const caller = await makeCaller(parts);
    const place = await ways[way]?.(caller);
    expect(await found(caller, aPerson.phone)).toEqual([place]);
    await sortAll();
    expect(await found(caller, aPerson.phone)).toEqual([place]);
    expect(await found(await makeCaller(parts), aPerson.phone)).toEqual([]);
  });
});

test("a person is found in all jobs, the newest first, on pages of any size, each once", async () => {
  const caller = await makeCaller(parts);
  const places: [string, number][] = [];
  for (const way of [...Object.values(ways), ...Object.values(ways)]) {
    places.unshift(await way(caller));
    await createJobWith(as(caller), makeContacts(2));
    if (places.length === 5) await sortAll();
  }
  for (const size of [1, 3, 14, 1_000]) expect(await found(caller, aPerson.phone, size)).toEqual(places);
});

test("a contact is shown as its job shows it, with what its job is called", async () => {
  const caller = await makeCaller(parts);
  const { batchJobId } = await parts.jobs.create(
    onJob({ caller }, ""),
    aNewJob({ name: "Autumn", contacts: [{ ...aPerson, fields: { city: "Kiel" } }] }),
  );
  await parts.jobs.cancel(onJob({ caller }, batchJobId));
  const page = await parts.jobs.findContacts(caller, "+49 151 / 234-567-89", { size: 0, token: "" });
  expect(page).toMatchObject({
    found: [
      {
        job: { id: batchJobId, name: "Autumn", status: "cancelled" },
        contact: { number: 1, ...aPerson, fields: { city: "Kiel" }, status: "cancelled", attempts: 0 },
      },
    ],
    nextPageToken: "",
  });
});

test("nobody is found by a part of a phone, by a longer one, or by what a field says", async () => {
  const caller = await makeCaller(parts);
  const fields = { other: "+14155550000", "+14155550000": "x" };
  const id = await createJobWith(as(caller), [{ phone: "+141555500001", name: "+14155550000", fields }]);
  await parts.jobs.create(
    onJob({ caller }, ""),
    aNewJob({ contacts: [], copyContacts: { batchJobId: id, statuses: [] } }),
  );
  for (const phone of ["+14155550000", "+1415555000012", "+41555500001"])
    expect(await found(caller, phone)).toEqual([]);
  await sortAll();
  expect(await found(caller, "+14155550000")).toEqual([]);
  expect(await found(caller, "+141555500001")).toHaveLength(2);
});

test("a contact is found of whom an older version has not noted which it is", async () => {
  const caller = await makeCaller(parts);
  const id = await createJobWith(as(caller), [...makeContacts(400), aPerson]);
  await sql`update contact_phones set number = null where job_id = ${id}`.execute(parts.db);
  expect(await found(caller, aPerson.phone)).toEqual([[id, 401]]);
});

test("what is no phone is refused", async () => {
  const find = parts.jobs.findContacts(parts.caller, "0151 23456789", { size: 0, token: "" });
  expect(await refusal(find)).toMatchObject({ reason: "invalid_argument", metadata: { field: "phone" } });
});

test("a page token is good for its phone alone", async () => {
  const caller = await makeCaller(parts);
  for (let i = 0; i < 2; i += 1) await createJobWith(as(caller), makeContacts(2));
  const [first, second] = makeContacts(2);
  const { nextPageToken: token } = await parts.jobs.findContacts(caller, first?.phone ?? "", {
    size: 1,
    token: "",
  });
  const find = parts.jobs.findContacts(caller, second?.phone ?? "", { size: 1, token });
  expect(await refusal(find)).toMatchObject({ reason: "invalid_page_token" });
});

const sorted = async (jobId: string) => {
  const { rows } = await sql<{ phone: string; number: number }>`
    select '+' || phone as phone, number from sorted_phones, unnest(phones, numbers) as s (phone, number)
    where job_id = ${jobId} order by number`.execute(parts.db);
  return rows;
};

describe("sorting", () => {
  test("has every phone of a file once, with the number of its contact, a part after the other", async () => {
    const caller = await makeCaller(parts);
    const id = await createJobWith(as(caller), []);
    const contacts = makeContacts(20_150).toReversed();
    await importContacts(as(caller), id, contacts);
    const wanted = contacts.map(({ phone }, i) => ({ phone, number: i + 1 }));
    for (const upTo of [10_000, 20_000, 20_150]) {
      expect(await sortPhones(parts.db)).toBe(true);
      expect(await sorted(id)).toEqual(wanted.slice(0, upTo));
      expect(await found(caller, "+14155020149")).toEqual([[id, 1]]);
      expect(await found(caller, "+14155000000")).toEqual([[id, 20_150]]);
    }
    expect(await sortPhones(parts.db)).toBe(false);
  });

  test("leaves a job alone that somebody has locked, and goes on with others", async () => {
    const caller = await makeCaller(parts);
    const ids = [await createJobWith(as(caller), []), await createJobWith(as(caller), [])];
    for (const id of ids) await importContacts(as(caller), id, makeContacts(3));
    const [locked = "", other = ""] = ids;
    await parts.db.transaction().execute(async (trx) => {
      await sql`select from batch_jobs where id = ${locked} for no key update`.execute(trx);
      await sortAll();
      expect(await sorted(locked)).toEqual([]);
      expect(await sorted(other)).toHaveLength(3);
    });
    await sortAll();
    expect(await sorted(locked)).toHaveLength(3);
  });

  test("what is sorted goes with its job, whoever deletes it", async () => {
    const caller = await makeCaller(parts);
    for (const end of ["deleted", "old"]) {
      const id = await createJobWith(as(caller), []);
      await importContacts(as(caller), id, makeContacts(3));
      await sortAll();
      expect(await sorted(id)).toHaveLength(3);
      await parts.jobs.cancel(onJob({ caller }, id));
      if (end === "deleted") await parts.jobs.delete(onJob({ caller }, id));
      else await deleteOldJobs(parts.db, caller.organizationId, 0, 10);
      expect(await sorted(id)).toEqual([]);
    }
  });
});

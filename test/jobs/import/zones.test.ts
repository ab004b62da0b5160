import { describe, expect, test } from "vitest";
import { cellsOf, fileOf } from "../../support/exports.ts";
import { breaches } from "../../support/breaches.ts";
import { aNewJob, makeContacts, onJob } from "../../support/make.ts";
import type { Parts } from "../../support/parts.ts";
import { inNewOrganizations } from "../../support/replicas.ts";
import { lease, runJob } from "../../leasing/leases.ts";

/* Files whose contacts have time zones of their own, or are in those of their numbers. */

let parts: Parts;
inNewOrganizations((own) => (parts = own));

async function importInto(batchJobId: string, ...lines: string[]) {
  async function* file() {
    yield Buffer.from(lines.join("\n"));
  }
  const { caller, requestId, expectedRevision } = onJob(parts, batchJobId);
  return await parts.contactImport.run({ caller, requestId, expectedRevision, batchJobId }, file());
}

const create = async (fields: Parameters<typeof aNewJob>[0] = {}) =>
  (await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: [], ...fields }))).batchJobId;

const setsOf = (id: string) =>
  parts.db
    .selectFrom("zone_sets")
    .select(["zone_set", "zones", "contacts"])
    .where("job_id", "=", id)
    .orderBy("zone_set")
    .execute();

const zonesOf = async (id: string) => {
  const { contacts } = await parts.jobs.listContacts(parts.caller, id, [], { size: 100, token: "" });
  return contacts.map(({ timezone = "" }) => timezone);
};

describe("a file's column timezone", () => {
  test("says which zones its contacts are in, in any case, and is no field", async () => {
    const id = await create();
    const imported = await importInto(
      id,
      "phone,Timezone,city",
      "+14155550100,asia/tokyo,Tokyo",
      "+14155550101,,nowhere",
      "+14155550102,America/New_York,New York",
      "+14155550103,Asia/Tokyo,Kyoto",
    );
    expect(imported).toMatchObject({ acceptedCount: 4, rejectedCount: 0 });
    expect(await zonesOf(id)).toEqual(["Asia/Tokyo", "", "America/New_York", "Asia/Tokyo"]);
    expect(await setsOf(id)).toEqual([
      { zone_set: 0, zones: [], contacts: 0 },
      { zone_set: 1, zones: ["Asia/Tokyo"], contacts: 2 },
      { zone_set: 2, zones: ["America/New_York"], contacts: 1 },
    ]);
    const { contact } = await parts.jobs.getContact(parts.caller, id, 1);
    expect(contact.fields).toEqual({ city: "Tokyo" });
    expect(await breaches(parts, [id])).toEqual({});
  });

  test("rejects a contact whose zone there is not, with its line", async () => {
    const id = await create();
    const imported = await importInto(
      id,
      "phone,timezone",
      "+14155550100,Mars/Olympus",
      "+14155550101,UTC",
      "+14155550102,+02:00",
    );
    expect(imported).toMatchObject({
      acceptedCount: 1,
      rejectedCount: 2,
      rejected: [
        { line: 2, phone: "+14155550100", reason: "invalid_timezone", field: "timezone" },
        { line: 4, phone: "+14155550102", reason: "invalid_timezone", field: "timezone" },
      ],
    });
  });

  test("may be there once", async () => {
    const id = await create();
    await expect(importInto(id, "phone,timezone,TimeZone", "+14155550100,UTC,UTC")).rejects.toThrow(
      /Two columns of the file are named/,
    );
  });
});

test("a file's contacts are in the sets that their job has and in new ones, without those that it has already", async () => {
  const id = await create();
  await importInto(id, "phone,timezone", "+14155550100,Asia/Tokyo", "+14155550101,Asia/Seoul");
  const imported = await importInto(
    id,
    "phone,timezone",
    "+14155550102,Asia/Dubai",
    "+14155550101,Asia/Dubai",
    "+14155550103,Asia/Seoul",
    "+14155550103,Asia/Tokyo",
    "+14155550104,",
    "+14155550105,Asia/Tokyo",
  );
  expect(imported).toMatchObject({ acceptedCount: 4, rejectedCount: 2 });
  expect(await zonesOf(id)).toEqual([
    "Asia/Tokyo",
    "Asia/Seoul",
    "Asia/Dubai",
    "Asia/Seoul",
    "",
    "Asia/Tokyo",
  ]);
  expect(await setsOf(id)).toEqual([
    { zone_set: 0, zones: [], contacts: 0 },
    { zone_set: 1, zones: ["Asia/Tokyo"], contacts: 2 },
    { zone_set: 2, zones: ["Asia/Seoul"], contacts: 2 },
    { zone_set: 3, zones: ["Asia/Dubai"], contacts: 1 },
  ]);
  expect(await breaches(parts, [id])).toEqual({});
});

test("a file's contacts are in the zones of their numbers where their job says so", async () => {
  const id = await create({ zonesFromPhone: true });
  await importInto(id, "phone", "+12125550100", "+33123456789", "+672100000", "+12125550101");
  expect(await setsOf(id)).toEqual([
    { zone_set: 0, zones: [], contacts: 0 },
    { zone_set: 1, zones: ["America/New_York"], contacts: 2 },
    { zone_set: 2, zones: ["Europe/Paris"], contacts: 1 },
    { zone_set: 3, zones: [], contacts: 1 },
  ]);
  expect(await zonesOf(id)).toEqual(["", "", "", ""]);
  expect(await breaches(parts, [id])).toEqual({});
});

test("a file that is added to a running job is called, each contact on the list of its set", async () => {
  const id = await runJob(parts, { contacts: makeContacts(1) });
  const lines = Array.from(
    { length: 3_000 },
    (_, i) => `+1416${5_000_000 + i},${i % 3 === 0 ? "Asia/Tokyo" : ""}`,
  );
  await importInto(id, "phone,timezone", ...lines);
  const key = { id, organizationId: parts.caller.organizationId };
  await parts.fanOut.run(key);
  expect(await parts.redis.llen(parts.keys.contacts(key))).toBe(2_001);
  expect(await parts.redis.llen(parts.keys.contacts(key, 1))).toBe(1_000);
  expect(await lease(parts, { maxContacts: 5 })).toHaveLength(5);
  expect(await breaches(parts, [id])).toEqual({});
});

test("an export has the column where a contact has a zone, and is read back as the same", async () => {
  const id = await create();
  await importInto(
    id,
    "phone,timezone,city",
    "+14155550100,Asia/Tokyo,Tokyo",
    "+14155550101,,=1",
    "+14155550102,UTC,",
  );
  const file = await fileOf(parts, id, { attempts: "last" });
  expect(cellsOf(file)[0]?.slice(0, 4)).toEqual(["phone", "name", "timezone", "city"]);
  const again = await create();
  await importInto(again, Buffer.from(file).toString());
  expect(await zonesOf(again)).toEqual(["Asia/Tokyo", "", "UTC"]);
  const plain = await create();
  await importInto(plain, "phone,city", "+14155550100,Tokyo");
  expect(cellsOf(await fileOf(parts, plain, { attempts: "last" }))[0]?.slice(0, 3)).toEqual([
    "phone",
    "name",
    "city",
  ]);
});

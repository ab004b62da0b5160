import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { sql } from "kysely";
import { pino } from "pino";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { AccessService } from "../../src/gen/callsheet/v1/access_service_pb.ts";
import { RejectionReason } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import {
  ImportSuppressedPhonesEndSchema,
  SuppressionService,
} from "../../src/gen/callsheet/v1/suppression_service_pb.ts";
import { purgeExpiredPhones } from "../../src/postgres/phones/suppressed-phones.ts";
import { makeApiKey } from "../support/api-key.ts";
import { refusal } from "../support/refusal.ts";
import { startTestService } from "../support/service.ts";
import { grpcTo } from "../support/transports.ts";

const logged: string[] = [];
const logger = pino({ level: "trace" }, { write: (line: string) => void logged.push(line) });
const service = await startTestService({ logger });
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

let organizationId: number;
let key: string;
let list: ReturnType<typeof createClient<typeof SuppressionService>>;
beforeEach(async () => {
  ({ key, organizationId } = await makeApiKey(db, { role: "admin", organization: `test ${randomUUID()}` }));
  list = createClient(SuppressionService, grpcTo(service.grpcUrl, key));
});

const [ada, bea, cal] = ["+14155550001", "+14155550002", "+14155550003"] as const;
const reason = "opted out";
const inAnHour = () => timestampFromMs(Date.now() + 3_600_000);

/** Who is on the list, in its order. */
const onList = async () => {
  const { suppressedPhones } = await list.listSuppressedPhones({});
  return suppressedPhones.map(({ phone }) => phone);
};
const entryOf = async (phone: string) =>
  (await list.checkSuppressedPhones({ phones: [phone] })).suppressedPhones[0];
const countOf = async () => {
  const row = await db
    .selectFrom("organizations")
    .select("suppressed_phones")
    .where("id", "=", organizationId)
    .executeTakeFirstOrThrow();
  return row.suppressed_phones;
};
const toldOf = async () =>
  await db
    .selectFrom("events")
    .select(["type", "request_id", "data"])
    .where("organization_id", "=", organizationId)
    .where("type", "in", ["suppressed_phones.added", "suppressed_phones.removed"])
    .orderBy("sequence")
    .execute();

const phoneOf = (i: number) => `+1${String(4_150_000_000 + i)}`;

/** Where the rows of the list are, and who has locked them last. */
const places = async () =>
  (
    await sql<{ ctid: string; xmax: string }>`
      select ctid::text, xmax::text from suppressed_phones where organization_id = ${organizationId}`.execute(
      db,
    )
  ).rows;

describe("phones that are added", () => {
  test("are on the list as they are read, with their reasons, until they expire", async () => {
    const expiresAt = inAnHour();
    const phones = [
      { phone: "+1 (415) 555-0002", reason: "asked twice", expiresAt },
      { phone: ada, reason },
    ];
    expect(await list.addSuppressedPhones({ phones })).toMatchObject({
      addedCount: 2,
      alreadyCount: 0,
      rejectedCount: 0,
      rejected: [],
    });
    const { suppressedPhones, nextPageToken } = await list.listSuppressedPhones({});
    expect(suppressedPhones).toMatchObject([
      { phone: ada, reason, addedAt: expect.anything() },
      { phone: bea, reason: "asked twice" },
    ]);
    expect(suppressedPhones[0]?.expiresAt).toBeUndefined();
    expect(suppressedPhones[1]?.expiresAt && timestampMs(suppressedPhones[1].expiresAt)).toBe(
      timestampMs(expiresAt),
    );
    expect(nextPageToken).toBe("");
    expect(await countOf()).toBe(2);
  });

  test("are rejected one by one", async () => {
    const past = timestampFromMs(Date.now() - 1_000);
    const added = await list.addSuppressedPhones({
      phones: [
        { phone: "4155550001", reason },
        { phone: ada, reason: "" },
        { phone: ada, reason: "a\tb" },
        { phone: ada, reason, expiresAt: past },
        { phone: cal, reason },
      ],
    });
    expect(added).toMatchObject({ addedCount: 1, rejectedCount: 4 });
    expect(added.rejected).toMatchObject([
      { index: 0, phone: "4155550001", reason: RejectionReason.INVALID_PHONE_FORMAT, field: "phone" },
      { index: 1, phone: ada, reason: RejectionReason.INVALID_FIELDS, field: "reason" },
      { index: 2, phone: ada, reason: RejectionReason.INVALID_FIELDS, field: "reason" },
      { index: 3, phone: ada, reason: RejectionReason.INVALID_FIELDS, field: "expires_at" },
    ]);
    expect(await onList()).toEqual([cal]);
  });

  test("stay for the longer of two times, with the reason of that entry", async () => {
    const soon = inAnHour();
    await list.addSuppressedPhones({ phones: [{ phone: ada, reason: "for ever" }] });
    expect(
      await list.addSuppressedPhones({ phones: [{ phone: ada, reason: "for an hour", expiresAt: soon }] }),
    ).toMatchObject({ addedCount: 0, alreadyCount: 1 });
    expect(await entryOf(ada)).toMatchObject({ reason: "for ever" });
    expect((await entryOf(ada))?.expiresAt).toBeUndefined();
    await list.addSuppressedPhones({
      phones: [
        { phone: bea, reason: "for ever" },
        { phone: bea, reason: "for an hour", expiresAt: soon },
        { phone: cal, reason: "for an hour", expiresAt: soon },
      ],
    });
    expect(await entryOf(bea)).toMatchObject({ reason: "for ever" });
    await list.addSuppressedPhones({ phones: [{ phone: cal, reason: "for ever now" }] });
    expect(await entryOf(cal)).toMatchObject({ reason: "for ever now" });
    expect((await entryOf(cal))?.expiresAt).toBeUndefined();
    expect(await countOf()).toBe(3);
  });

  test("that are there as they are given are not written again", async () => {
    const phones = [{ phone: ada, reason }];
    await list.addSuppressedPhones({ phones });
    const before = await places();
    expect(await list.addSuppressedPhones({ phones })).toMatchObject({ addedCount: 0, alreadyCount: 1 });
    expect(await places()).toEqual(before);
  });

  test("by the hundred, of which a few are there, or expired, or there twice, are counted as one by one", async () => {
    const entryAt = (i: number) => ({ phone: phoneOf(i), reason });
    await list.addSuppressedPhones({ phones: [{ ...entryAt(7), expiresAt: inAnHour() }] });
    await expireAll();
    await list.addSuppressedPhones({ phones: [entryAt(8), { ...entryAt(9), reason: "asked" }] });
    const phones = Array.from({ length: 300 }, (_, i) => entryAt(i));
    const answer = await list.addSuppressedPhones({ phones: [...phones, entryAt(4), entryAt(5)] });
    // 300 phones, of which two were on the list; two rows name a phone that another one names.
    expect(answer).toMatchObject({ addedCount: 298, alreadyCount: 4 });
    expect(await countOf()).toBe(300);
    expect(await entryOf(phoneOf(9))).toMatchObject({ reason });
    expect(await list.addSuppressedPhones({ phones })).toMatchObject({ addedCount: 0, alreadyCount: 300 });
    expect(await countOf()).toBe(300);
  });

  test("once are added once under one request id, also after they were removed", async () => {
    const request = { phones: [{ phone: ada, reason }], requestId: randomUUID() };
    const first = await list.addSuppressedPhones(request);
    await list.removeSuppressedPhones({ phones: [ada] });
    expect(await list.addSuppressedPhones(request)).toEqual(first);
    expect(await onList()).toEqual([]);
    const other = list.addSuppressedPhones({ ...request, phones: [{ phone: bea, reason }] });
    expect(await refusal(other)).toMatchObject({ reason: "request_id_reused" });
  });

  test("are no more than the organization may have", async () => {
    const access = createClient(AccessService, grpcTo(service.grpcUrl, key));
    await access.updateOrganization({ settings: { suppressedPhoneLimit: 2 } });
    await list.addSuppressedPhones({ phones: [{ phone: ada, reason }] });
    const two = [bea, cal].map((phone) => ({ phone, reason }));
    expect(await refusal(list.addSuppressedPhones({ phones: two }))).toMatchObject({
      reason: "limit_exceeded",
      metadata: { limit: "2", stored: "1", free: "1" },
    });
    expect(await onList()).toEqual([ada]);
    await list.addSuppressedPhones({ phones: [ada, bea].map((phone) => ({ phone, reason })) });
    const { organization } = await access.getOrganization({});
    expect(organization).toMatchObject({ suppressedPhones: 2, settings: { suppressedPhoneLimit: 2 } });
  });

  test("at the same time by many are all there, and counted", async () => {
    const calls = Array.from({ length: 12 }, (_, call) =>
      list.addSuppressedPhones({
        // In other orders, and each of them by three.
        phones: Array.from({ length: 300 }, (__, i) => ({
          phone: phoneOf((call % 4) * 300 + (call % 2 === 0 ? i : 299 - i)),
          reason,
        })),
      }),
    );
    const answers = await Promise.all(calls);
    expect(answers.reduce((sum, { addedCount }) => sum + addedCount, 0)).toBeGreaterThanOrEqual(1_200);
    expect(await countOf()).toBe(1_200);
    const { rows } =
      await sql`select from suppressed_phones where organization_id = ${organizationId}`.execute(db);
    expect(rows).toHaveLength(1_200);
  });
});

describe("phones that are removed", () => {
  test("are not on the list; others are left alone", async () => {
    await list.addSuppressedPhones({ phones: [ada, bea].map((phone) => ({ phone, reason })) });
    const removed = await list.removeSuppressedPhones({ phones: [bea, cal, "+1 415 555 0002"] });
    expect(removed.removedCount).toBe(1);
    expect(await onList()).toEqual([ada]);
    expect(await countOf()).toBe(1);
  });

  test("must be phones, all of them", async () => {
    await list.addSuppressedPhones({ phones: [{ phone: ada, reason }] });
    for (const call of [
      list.removeSuppressedPhones({ phones: [ada, "secret"] }),
      list.checkSuppressedPhones({ phones: [ada, "secret"] }),
    ]) {
      const refused = await refusal(call);
      expect(refused).toMatchObject({ reason: "invalid_argument", metadata: { field: "phones[1]" } });
      expect(JSON.stringify(refused)).not.toContain("secret");
    }
    expect(await onList()).toEqual([ada]);
  });
});

describe("the phone of a person who was erased", () => {
  let jobs: ReturnType<typeof createClient<typeof BatchJobService>>;
  beforeEach(async () => {
    jobs = createClient(BatchJobService, grpcTo(service.grpcUrl, key));
    await list.addSuppressedPhones({ phones: [ada, bea].map((phone) => ({ phone, reason })) });
    await jobs.eraseContacts({ phone: ada, reason: "asked in writing" });
  });

  test("is told to be that, among those on the list, to whoever asks for it", async () => {
    const { suppressedPhones } = await list.checkSuppressedPhones({
      phones: [cal, ada, bea, "+1 415 555 0001"],
    });
    expect(suppressedPhones).toMatchObject([
      { phone: ada, reason: "", isErased: true, addedAt: expect.anything() },
      { phone: bea, reason, isErased: false },
    ]);
    expect(suppressedPhones[0]?.expiresAt).toBeUndefined();
    expect(await onList()).toEqual([bea]);
  });

  test("is told so to no other organization", async () => {
    const other = await makeApiKey(db, { role: "admin", organization: `test ${randomUUID()}` });
    const theirs = createClient(SuppressionService, grpcTo(service.grpcUrl, other.key));
    expect((await theirs.checkSuppressedPhones({ phones: [ada, bea] })).suppressedPhones).toEqual([]);
    expect(await theirs.removeSuppressedPhones({ phones: [ada] })).toMatchObject({ erasedCount: 0 });
  });

  test("stays one that nobody calls, whoever removes it", async () => {
    const request = { phones: [ada, bea, cal], requestId: randomUUID() };
    const removed = await list.removeSuppressedPhones(request);
    expect(removed).toMatchObject({ removedCount: 1, erasedCount: 1 });
    expect(await list.removeSuppressedPhones(request)).toEqual(removed);
    expect(await entryOf(ada)).toMatchObject({ isErased: true });
    const again = jobs.createBatchJob({
      name: "Again",
      fromPhoneNumberId: "pn_1",
      contacts: [{ phone: ada }],
    });
    expect(await refusal(again)).toMatchObject({ metadata: { firstReason: "erased_phone" } });
    expect((await toldOf()).at(-1)?.data).toEqual({ givenPhones: 3, removedPhones: 1 });
  });
});

const expireAll = () =>
  sql`
    update suppressed_phones set expires_at = clock_timestamp() - interval '1 second'
    where organization_id = ${organizationId} and expires_at < 'infinity'`.execute(db);

describe("an entry that has expired", () => {
  test("is on the list no more, and is added anew", async () => {
    const phones = [{ phone: ada, reason, expiresAt: inAnHour() }];
    await list.addSuppressedPhones({ phones });
    await expireAll();
    expect(await onList()).toEqual([]);
    expect(await entryOf(ada)).toBeUndefined();
    expect(await list.removeSuppressedPhones({ phones: [bea] })).toMatchObject({ removedCount: 0 });
    expect(await list.addSuppressedPhones({ phones })).toMatchObject({ addedCount: 1, alreadyCount: 0 });
    expect(await onList()).toEqual([ada]);
    expect(await countOf()).toBe(1);
  });

  test("is taken away in time, and nothing else is", async () => {
    await list.addSuppressedPhones({
      phones: [
        { phone: ada, reason, expiresAt: inAnHour() },
        { phone: bea, reason },
      ],
    });
    await expireAll();
    await list.addSuppressedPhones({ phones: [{ phone: cal, reason, expiresAt: inAnHour() }] });
    // The service removes it too, perhaps before.
    await purgeExpiredPhones(db, organizationId, 1_000);
    expect(await onList()).toEqual([bea, cal]);
    expect(await countOf()).toBe(2);
  });
});

async function allPages(asked: { pageSize: number; reason?: string }) {
  const phones: string[] = [];
  for (let pageToken = "", more = true; more;) {
    const page = await list.listSuppressedPhones({ ...asked, pageToken });
    expect(page.suppressedPhones.length).toBeLessThanOrEqual(asked.pageSize);
    phones.push(...page.suppressedPhones.map(({ phone }) => phone));
    pageToken = page.nextPageToken;
    more = pageToken !== "";
  }
  return phones;
}

describe("the list", () => {
  const many = Array.from({ length: 25 }, (_, i) => ({
    phone: `+1415555${String(2_000 + i)}`,
    reason: i % 5 === 0 ? "rare" : reason,
  }));

  test("is shown in pages, in the order of phones, all of it or what has a reason", async () => {
    await list.addSuppressedPhones({ phones: many.toReversed() });
    expect(await allPages({ pageSize: 10 })).toEqual(many.map(({ phone }) => phone));
    expect(await allPages({ pageSize: 25 })).toEqual(many.map(({ phone }) => phone));
    const rare = many.filter((entry) => entry.reason === "rare").map(({ phone }) => phone);
    expect(await allPages({ pageSize: 2, reason: "rare" })).toEqual(rare);
    expect(await allPages({ pageSize: 5, reason: "nothing" })).toEqual([]);
  });

  test("has tokens for the list that they are of, and no other", async () => {
    await list.addSuppressedPhones({ phones: many });
    const { nextPageToken: pageToken } = await list.listSuppressedPhones({ pageSize: 1 });
    expect(await refusal(list.listSuppressedPhones({ pageToken, reason: "rare" }))).toMatchObject({
      reason: "invalid_page_token",
    });
  });
});

async function* messages(csv: string, header: { requestId?: string; reason?: string }, size = 7) {
  yield { part: { case: "header" as const, value: header } };
  const bytes = Buffer.from(csv);
  for (let at = 0; at < bytes.length; at += size) {
    yield { part: { case: "csv" as const, value: bytes.subarray(at, at + size) } };
  }
  const end = create(ImportSuppressedPhonesEndSchema, { totalBytes: BigInt(bytes.length) });
  yield { part: { case: "end" as const, value: end } };
}
const importing = (csv: string, header: { requestId?: string; reason?: string } = {}, size?: number) =>
  list.importSuppressedPhones(messages(csv, header, size));
const upload = (csv: string, query = "") =>
  fetch(`${service.httpUrl}/suppressed-phones.csv${query}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: csv,
  });

async function* broken() {
  yield { part: { case: "header" as const, value: { reason } } };
  yield { part: { case: "csv" as const, value: Buffer.from(`phone\n${ada}\n`) } };
}

describe("a file of phones", () => {
  test("is added by its columns, with the reason of the call where a row has none", async () => {
    const until = new Date(Date.now() + 3_600_000).toISOString();
    const csv = [
      "Name;Mobile;REASON;expires_at",
      `Ada;${ada};asked twice;`,
      `Bea;+1 415 555 0002;;${until}`,
      `Bea again;${bea};;${until}`,
      "Nobody;12345;;",
      `Late;${cal};;2001-01-01T00:00:00Z`,
      `Odd;${cal};;tomorrow`,
    ].join("\r\n");
    const imported = await importing(csv, { reason: "a list of the regulator" });
    expect(imported).toMatchObject({ addedCount: 2, alreadyCount: 1, rejectedCount: 3 });
    expect(imported.rejected).toMatchObject([
      { line: 5, phone: "12345", reason: RejectionReason.INVALID_PHONE_FORMAT, field: "phone" },
      { line: 6, phone: cal, reason: RejectionReason.INVALID_FIELDS, field: "expires_at" },
      { line: 7, phone: cal, reason: RejectionReason.INVALID_FIELDS, field: "expires_at" },
    ]);
    expect(await entryOf(ada)).toMatchObject({ reason: "asked twice" });
    const entry = await entryOf(bea);
    expect(entry).toMatchObject({ reason: "a list of the regulator" });
    expect(entry?.expiresAt && new Date(timestampMs(entry.expiresAt)).toISOString()).toBe(until);
  });

  test("comes over HTTP too, with the same answer", async () => {
    const response = await upload(`phone,reason\n${ada},asked\n${bea},\n`, "?reason=opted+out");
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ addedCount: 2, alreadyCount: 0, rejectedCount: 0, rejected: [] });
    expect(await entryOf(bea)).toMatchObject({ reason });
    const get = await fetch(`${service.httpUrl}/suppressed-phones.csv`, {
      headers: { authorization: `Bearer ${key}` },
    });
    expect([get.status, get.headers.get("allow")]).toEqual([405, "POST"]);
    const wrong = await upload(`phone\n${cal}\n`, "?why=no");
    expect([wrong.status, await wrong.json()]).toMatchObject([400, { code: "invalid_argument" }]);
    expect(await onList()).toEqual([ada, bea]);
  });

  test("of many more phones than are added at a time is added whole", async () => {
    const all = Array.from({ length: 45_000 }, (_, i) => phoneOf(i)).toReversed();
    const csv = `phone\n${all.join("\n")}\n`;
    expect(await importing(csv, { reason }, 64 * 1024)).toMatchObject({
      addedCount: 45_000,
      alreadyCount: 0,
    });
    expect(await importing(csv, { reason }, 64 * 1024)).toMatchObject({
      addedCount: 0,
      alreadyCount: 45_000,
    });
    expect(await countOf()).toBe(45_000);
    const given = (await toldOf()).map(({ data }) => data as { givenPhones: number; addedPhones: number });
    expect(given.reduce((sum, { givenPhones }) => sum + givenPhones, 0)).toBe(90_000);
    expect(given.reduce((sum, { addedPhones }) => sum + addedPhones, 0)).toBe(45_000);
  });

  test("is added once under one request id, also after its phones were removed", async () => {
    const requestId = randomUUID();
    const csv = `phone\n${ada}\n`;
    const first = await importing(csv, { requestId, reason });
    await list.removeSuppressedPhones({ phones: [ada] });
    expect(await importing(csv, { requestId, reason })).toEqual(first);
    expect(await onList()).toEqual([]);
    const other = importing(`phone\n${bea}\n`, { requestId, reason });
    expect(await refusal(other)).toMatchObject({ reason: "request_id_reused" });
    expect(await onList()).toEqual([]);
  });

  test.each([
    ["is empty", "", "The file is empty"],
    ["has no row", "phone\n", "there must be one for each phone"],
    ["has no column of phones", "name\nAda\n", "one of them must be phone"],
    ["has two reasons", `phone,reason,Reason\n${ada},a,b\n`, "Two columns of the file are named"],
  ])("that %s is refused", async (_, csv, message) => {
    expect(await refusal(importing(csv, { reason }))).toMatchObject({
      reason: "invalid_argument",
      message: expect.stringContaining(message),
    });
  });

  test("that breaks off is refused", async () => {
    expect(await refusal(list.importSuppressedPhones(broken()))).toMatchObject({
      reason: "invalid_argument",
      metadata: { field: "end" },
    });
  });
});

test("the log of the organization says how many phones were added and removed, by which key, and not which", async () => {
  const requestId = randomUUID();
  await list.addSuppressedPhones({ phones: [ada, bea].map((phone) => ({ phone, reason })), requestId });
  await list.removeSuppressedPhones({ phones: [ada, cal] });
  expect(await toldOf()).toEqual([
    { type: "suppressed_phones.added", request_id: requestId, data: { givenPhones: 2, addedPhones: 2 } },
    { type: "suppressed_phones.removed", request_id: "", data: { givenPhones: 2, removedPhones: 1 } },
  ]);
});

test("no phone and no reason is in a log", async () => {
  await list.addSuppressedPhones({ phones: [{ phone: ada, reason: "a private matter" }] });
  await list.checkSuppressedPhones({ phones: [ada] });
  const { rows } = await sql<{ text: string }>`select a::text as text from events a`.execute(db);
  const told = [...logged, ...rows.map(({ text }) => text)].join("\n");
  expect(logged.join("\n")).toContain("SuppressionService/AddSuppressedPhones");
  expect([ada, "14155550001", "a private matter"].filter((secret) => told.includes(secret))).toEqual([]);
});

import { setTimeout as delay } from "node:timers/promises";
import * as fc from "fast-check";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { type ContactInput, duplicatePhone, judge, sortOut } from "../../../src/domain/contacts/contact.ts";
import { allowedStatuses, jobStatuses } from "../../../src/domain/jobs/batch-job.ts";
import { toCell } from "../../../src/files/cells.ts";
import { currentContacts } from "../../../src/postgres/contacts/current-contacts.ts";
import { eventually } from "../../support/eventually.ts";
import { everything } from "../../support/everything.ts";
import { useFreshParts } from "../../support/fresh.ts";
import { lookAt, numbersTo } from "../../support/look.ts";
import { makeContacts, makeJob, makeWholeJob, onJob } from "../../support/make.ts";
import { makeCaller } from "../../support/organization.ts";
import { type Parts, startParts } from "../../support/parts.ts";
import { refusal } from "../../support/refusal.ts";

const freshParts = useFreshParts();

const quote = (text: string) => `"${text.replaceAll('"', '""')}"`;

/** The contacts as a file, whose cells are guarded as those of an export; all have the fields of the first. */
function toCsv(contacts: readonly ContactInput[]): string {
  const keys = Object.keys(contacts[0]?.fields ?? {});
  const rows = contacts.map((c) => [
    c.phone,
    toCell(c.name),
    ...keys.map((key) => toCell(c.fields[key] ?? "")),
  ]);
  return [["phone", "name", ...keys], ...rows].map((row) => row.map(quote).join(",")).join("\r\n");
}

async function* inChunks(file: string | Uint8Array, size = 1_000) {
  const bytes = Buffer.from(file);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const importInto = (
  parts: Parts,
  batchJobId: string,
  file: string | Uint8Array | AsyncIterable<Uint8Array>,
  fields: { requestId?: string; expectedRevision?: number } = {},
) => {
  const { caller, requestId, expectedRevision } = { ...onJob(parts, batchJobId), ...fields };
  const chunks = typeof file === "string" || file instanceof Uint8Array ? inChunks(file) : file;
  return parts.contactImport.run({ caller, requestId, expectedRevision, batchJobId }, chunks);
};

const storedContacts = async ({ db }: Parts, jobId: string) =>
  await db
    .selectFrom(currentContacts.as("contacts"))
    .select(["number", "phone", "name", "fields"])
    .where("job_id", "=", jobId)
    .orderBy("number")
    .execute();

/** Connections that hold staged phones. */
async function stagingConnections({ db }: Parts): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from pg_class where relname like 'staged\\_phones\\_%' and relpersistence = 't'
  `.execute(db);
  return rows[0]?.count ?? -1;
}

describe("a file's contacts", () => {
  test("are added in its order, with name and fields, and counted", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts, { contacts: 0 });
    const file =
      '\uFEFFName,PHONE,plan,"a ""b\\"\nAda,+14155550100,x,\n"B\\o, \'b",+14155550101,"y ""z""",\\N\n,+14155550102,,\\.\n';
    expect(await importInto(parts, job.id, file)).toEqual({
      acceptedCount: 3,
      totalContacts: 3,
      rejectedCount: 0,
      rejected: [],
      toFanOut: null,
      entryRemoved: false,
    });
    expect(await storedContacts(parts, job.id)).toEqual([
      { number: 1, phone: "+14155550100", name: "Ada", fields: { plan: "x", 'a "b\\': "" } },
      { number: 2, phone: "+14155550101", name: "B\\o, 'b", fields: { plan: 'y "z"', 'a "b\\': "\\N" } },
      { number: 3, phone: "+14155550102", name: "", fields: { plan: "", 'a "b\\': "\\." } },
    ]);
    expect((await lookAt(parts, job.id)).row).toMatchObject({
      total_contacts: 3,
      pending_contacts: 3,
      revision: job.revision + 1,
    });
  });

  test("need no other column than phone", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts, { contacts: 0 });
    expect(await importInto(parts, job.id, "phone\n+14155550100\n\n+14155550101")).toMatchObject({
      acceptedCount: 2,
    });
  });

  test("are rejected one by one, with their lines", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts, { contacts: 2 });
    const file = [
      "phone,name",
      "+14155550100,fine",
      "junk,x",
      '+14155550101,"two\nlines"',
      "+14155550102",
      "+14155550103,x,y",
      "+14155550100,again",
      "",
      "+14155000000,in the job before",
      "+14155550104,fine",
    ].join("\n");
    expect(await importInto(parts, job.id, file)).toMatchObject({
      acceptedCount: 2,
      totalContacts: 4,
      rejectedCount: 6,
      rejected: [
        { line: 3, phone: "junk", reason: "invalid_phone_format" },
        { line: 4, phone: "+14155550101", reason: "invalid_fields" },
        { line: 6, phone: "+14155550102", reason: "invalid_fields" },
        { line: 7, phone: "+14155550103", reason: "invalid_fields" },
        { line: 8, phone: "+14155550100", reason: "duplicate_phone" },
        { line: 10, phone: "+14155000000", reason: "duplicate_phone" },
      ],
    });
    expect((await storedContacts(parts, job.id)).slice(2)).toMatchObject([
      { number: 3, phone: "+14155550100", name: "fine" },
      { number: 4, phone: "+14155550104" },
    ]);
  });

  test("are judged as those of AddContacts are", async () => {
    await using parts = await freshParts();
    const phone = fc.oneof(
      fc.integer({ min: 0, max: 30 }).map((n) => `+141555501${String(n).padStart(2, "0")}`),
      fc.constantFrom(
        "",
        "junk",
        "+0123456",
        "+1234567",
        "\0+14155550100",
        "+14155550100 ",
        "\u{1F600}\u0007",
      ),
    );
    const text = fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 12 }).filter((s) => s.isWellFormed()),
      fc.constantFrom(
        "",
        "'",
        "'=a",
        'a"b',
        "a\\b",
        "\\N",
        "a\tb",
        "a\nb",
        "a\u0085b",
        "\0",
        "\u{1F600}".repeat(201),
      ),
      fc.constantFrom("v".repeat(1000), "v".repeat(1001)),
    );
    const contact = fc
      .record({
        phone,
        name: text,
        fields: fc.record({ plan: text, "an odd \\ key": text }),
      })
      // A row of nothing is no contact.
      .filter((c) => [c.phone, c.name, ...Object.values(c.fields)].some((value) => value !== ""));
    await fc.assert(
      fc.asyncProperty(fc.array(contact, { minLength: 1, maxLength: 40 }), async (contacts) => {
        const fields = { plan: "x", "an odd \\ key": "" };
        const given = [...makeContacts(2, 550_100).map((c) => ({ ...c, fields })), ...contacts];
        const [job, other] = [await makeJob(parts, { contacts: 0 }), await makeJob(parts, { contacts: 0 })];
        await parts.jobs.addContacts(onJob(parts, job.id), given);
        const { rejected, ...imported } = await importInto(parts, other.id, toCsv(given));
        const expected = sortOut(given.map(judge));
        expect(rejected.map(({ phone: shown, reason }) => ({ phone: shown, reason }))).toEqual(
          expected.rejected.map(({ phone: shown, reason }) => ({
            phone: shown.replace("\r\n", "\n"),
            reason,
          })),
        );
        expect(imported).toMatchObject({ acceptedCount: expected.accepted.length });
        expect(await storedContacts(parts, other.id)).toEqual(await storedContacts(parts, job.id));
      }),
      { numRuns: 60 },
    );
  });

  test("of a large file with duplicates everywhere keep their order, without gaps", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts, { contacts: 0 });
    await importInto(parts, job.id, toCsv(makeContacts(5_000, 20_000)));
    // Every third one is in the file twice, and a part of them in the job.
    const named = makeContacts(30_000).map((c, i) => ({ ...c, name: `Zoë ${i} 東京 🎬` }));
    const contacts = named.flatMap((c, i) => (i % 3 === 0 ? [c, c] : [c]));
    const answer = await importInto(parts, job.id, toCsv(contacts));
    expect(answer).toMatchObject({ acceptedCount: 25_000, totalContacts: 30_000, rejectedCount: 15_000 });
    expect(answer.rejected).toHaveLength(100);
    expect(answer.rejected[0]).toEqual({ line: 3, phone: contacts[0]?.phone, ...duplicatePhone });
    const stored = await storedContacts(parts, job.id);
    expect(stored.map(({ number }) => number)).toEqual(stored.map((_, i) => i + 1));
    const expected = named.filter((_, i) => i < 20_000 || i >= 25_000);
    expect(stored.slice(5_000).map((c) => [c.phone, c.name])).toEqual(expected.map((c) => [c.phone, c.name]));
  });

  test("are known to later calls", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts, { contacts: 0 });
    await importInto(parts, job.id, toCsv(makeContacts(10)));
    expect(await parts.jobs.addContacts(onJob(parts, job.id), makeContacts(4, 8))).toMatchObject({
      acceptedCount: 2,
      rejected: [{ index: 0 }, { index: 1 }],
    });
    expect(await importInto(parts, job.id, toCsv(makeContacts(14)))).toMatchObject({ acceptedCount: 2 });
  });

  test("are known to a file that comes after them", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts, { contacts: 0 });
    await importInto(parts, job.id, toCsv(makeContacts(10)));
    expect(await importInto(parts, job.id, toCsv(makeContacts(10, 6)))).toMatchObject({
      acceptedCount: 6,
      rejected: [{ line: 2 }, { line: 3 }, { line: 4 }, { line: 5 }],
    });
    expect(await parts.jobs.addContacts(onJob(parts, job.id), makeContacts(16))).toMatchObject({
      acceptedCount: 0,
    });
  });

  test("of a running job go on its list", async () => {
    await using parts = await freshParts();
    const job = await makeWholeJob(parts, { status: "running" });
    await importInto(parts, job.id, toCsv(makeContacts(20, 100)));
    await eventually(async () => expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(23)), 2_000);
  });
});

describe("the job", () => {
  const allowed = allowedStatuses("add_contacts");
  for (const status of allowed) {
    test(`takes a file while it is ${status}`, async () => {
      await using parts = await freshParts();
      const job = await makeJob(parts, { status });
      expect(await importInto(parts, job.id, toCsv(makeContacts(2, 100)))).toMatchObject({
        acceptedCount: 2,
        totalContacts: 5,
      });
      expect((await lookAt(parts, job.id)).row?.status).toBe(status);
    });
  }

  for (const status of jobStatuses.filter((other) => !allowed.includes(other))) {
    test(`refuses a file once it is ${status}`, async () => {
      await using parts = await freshParts();
      const job = await makeJob(parts, { status });
      const before = await everything(parts);
      const refused = await refusal(importInto(parts, job.id, toCsv(makeContacts(2, 100))));
      expect(refused).toMatchObject({ reason: "already_terminal", metadata: { status } });
      expect(await everything(parts)).toEqual(before);
    });
  }

  test("must be there, and the caller's", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts);
    const nobodys = "00000000-0000-4000-8000-000000000000";
    for (const id of [nobodys, "junk"]) {
      expect(await refusal(importInto(parts, id, "phone\n"))).toMatchObject({ reason: "job_not_found" });
    }
    const caller = { ...parts.caller, organizationId: 2 ** 31 - 1 };
    expect(await refusal(importInto({ ...parts, caller }, job.id, "phone\n"))).toMatchObject({
      reason: "job_not_found",
    });
  });

  test("must be at the expected revision", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts);
    const file = toCsv(makeContacts(1, 100));
    expect(await refusal(importInto(parts, job.id, file, { expectedRevision: 7 }))).toMatchObject({
      reason: "revision_mismatch",
    });
    expect(await importInto(parts, job.id, file, { expectedRevision: 1 })).toMatchObject({
      acceptedCount: 1,
    });
  });

  test("may change while the file arrives, and is judged as it is then", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts);
    async function* slow() {
      yield* inChunks(toCsv(makeContacts(100, 100)));
      await parts.jobs.addContacts(onJob(parts, job.id), makeContacts(2, 150));
      await parts.jobs.start(onJob(parts, job.id));
    }
    expect(await importInto(parts, job.id, slow())).toMatchObject({ acceptedCount: 98, totalContacts: 103 });
    await eventually(async () => expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(103)), 2_000);

    async function* slower() {
      yield* inChunks(toCsv(makeContacts(100, 300)));
      await parts.jobs.cancel(onJob(parts, job.id));
    }
    expect(await refusal(importInto(parts, job.id, slower()))).toMatchObject({ reason: "already_terminal" });
    expect(await storedContacts(parts, job.id)).toHaveLength(103);
  });

  test("takes several files and calls at once, and each phone once", async () => {
    await using parts = await freshParts();
    await using other = await startParts({ beside: parts });
    const job = await makeJob(parts, { contacts: 0 });
    const answers = await Promise.all([
      importInto(parts, job.id, toCsv(makeContacts(3_000))),
      importInto(other, job.id, toCsv(makeContacts(3_000, 1_500))),
      importInto(other, job.id, toCsv(makeContacts(3_000, 3_000))),
      ...Array.from({ length: 20 }, (_, i) =>
        parts.jobs.addContacts(onJob(parts, job.id), makeContacts(300, i * 300)),
      ),
    ]);
    expect(answers.reduce((sum, { acceptedCount }) => sum + acceptedCount, 0)).toBe(6_000);
    const stored = await storedContacts(parts, job.id);
    expect(stored.map(({ number }) => number)).toEqual(Array.from({ length: 6_000 }, (_, i) => i + 1));
    expect(new Set(stored.map(({ phone }) => phone)).size).toBe(6_000);
    expect((await lookAt(parts, job.id)).row).toMatchObject({
      total_contacts: 6_000,
      pending_contacts: 6_000,
    });
  });
});

describe("a request id", () => {
  test("has the same file answered again, and nothing done twice, also once the job has ended", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts);
    const file = `${toCsv(makeContacts(5, 100))}\r\njunk,x\r\n`;
    const first = await importInto(parts, job.id, file, { requestId: "one" });
    await parts.jobs.cancel(onJob(parts, job.id));
    const before = await everything(parts);
    expect(await importInto(parts, job.id, file, { requestId: "one" })).toEqual(first);
    expect(await everything(parts)).toEqual(before);
  });

  test("refuses another file", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts);
    await importInto(parts, job.id, toCsv(makeContacts(5, 100)), { requestId: "one" });
    const other = importInto(parts, job.id, toCsv(makeContacts(6, 100)), { requestId: "one" });
    expect(await refusal(other)).toMatchObject({ reason: "request_id_reused" });
  });
});

async function* breaking() {
  yield* inChunks(toCsv(makeContacts(60_000, 100)));
  throw new Error("the client went away");
}

async function* hanging() {
  yield Buffer.from("phone\n+14155550100\n");
  await new Promise(() => {});
}

async function* trickle() {
  yield* inChunks(toCsv(makeContacts(200, 100)));
  for (;;) {
    yield Buffer.from("+");
    await delay(5);
  }
}

describe("nothing is kept of a file", () => {
  const broken: [string, string | Uint8Array, Record<string, string>][] = [
    ["that is empty", "", { field: "csv" }],
    ["without a column phone", "name,number\nAda,+14155550100\n", { field: "csv" }],
    ["with two columns phone", "phone,Phone\n+14155550100,+14155550101\n", { field: "csv" }],
    ["with two columns of one name", "phone,plan,plan\n+14155550100,a,b\n", { field: "csv" }],
    [
      "with 51 further columns",
      `phone,${Array.from({ length: 51 }, (_, i) => `c${i}`).join()}\n`,
      { field: "csv" },
    ],
    ["with a quote that is not closed", 'phone,name\n+14155550100,a\n+14155550101,"b\n', { line: "3" }],
    [
      "that turns out not to be UTF-8",
      Buffer.concat([
        Buffer.from("phone,name\n+14155550100,Jürgen Möller\n+14155550101,Jos"),
        Buffer.from([0xe9, 0x0a]),
      ]),
      { line: "3" },
    ],
    ["that turns out wrong at its end", `${toCsv(makeContacts(60_000, 100))}\r\n"x"y`, { line: "60002" }],
  ];
  for (const [what, file, metadata] of broken) {
    test(`${what}`, async () => {
      await using parts = await freshParts();
      const job = await makeJob(parts);
      const before = await everything(parts);
      expect(await refusal(importInto(parts, job.id, file))).toMatchObject({
        reason: "invalid_argument",
        metadata: expect.objectContaining(metadata),
      });
      expect(await everything(parts)).toEqual(before);
      await eventually(async () => expect(await stagingConnections(parts)).toBe(0), 2_000);
    });
  }

  test("that breaks off", async () => {
    await using parts = await freshParts();
    const job = await makeJob(parts);
    const before = await everything(parts);
    await expect(importInto(parts, job.id, breaking())).rejects.toThrow("the client went away");
    expect(await everything(parts)).toEqual(before);
    await eventually(async () => expect(await stagingConnections(parts)).toBe(0), 2_000);
  });

  test("that never ends", async () => {
    await using parts = await freshParts({ importLimits: { maxBytes: 1_000_000 } });
    const job = await makeJob(parts);
    let sent = 0;
    let isOver = false;
    async function* endless() {
      try {
        yield Buffer.from("phone\n");
        for (;;) {
          sent += 1;
          yield Buffer.from(`+1${4_150_000_000 + sent}\n`.repeat(1_000));
        }
      } finally {
        isOver = true;
      }
    }
    expect(await refusal(importInto(parts, job.id, endless()))).toMatchObject({
      reason: "invalid_argument",
      metadata: { maxBytes: "1000000" },
    });
    expect({ sent, isOver }).toEqual({ sent: 77, isOver: true });
    expect(await storedContacts(parts, job.id)).toHaveLength(3);
  });

  test("of which too little arrives, however often", async () => {
    await using parts = await freshParts({ importLimits: { least: { bytes: 1_000, inMs: 300 } } });
    const job = await makeJob(parts);
    expect(await refusal(importInto(parts, job.id, trickle()))).toMatchObject({
      reason: "invalid_argument",
      message: expect.stringContaining("Fewer than 1000 bytes of the file arrived in 0.3 s"),
    });
    expect(await storedContacts(parts, job.id)).toHaveLength(3);
  });

  for (const limits of [{ idleMs: 20 }, { timeoutMs: 20 }]) {
    test(`that takes longer than ${Object.keys(limits)[0]}`, async () => {
      await using parts = await freshParts({ importLimits: limits });
      const job = await makeJob(parts);
      expect(await refusal(importInto(parts, job.id, hanging()))).toMatchObject({
        reason: "invalid_argument",
        message: expect.stringContaining("0.02 s"),
      });
      expect(await storedContacts(parts, job.id)).toHaveLength(3);
    });
  }
});

describe("files of two organizations", () => {
  test("do not wait for each other: of one at most two are taken, and its others are not read", async () => {
    await using parts = await freshParts();
    const other = { ...parts, caller: await makeCaller(parts) };
    const over = Promise.withResolvers<void>();
    let begun = 0;
    async function* held() {
      begun += 1;
      yield Buffer.from("phone\n");
      await over.promise;
      yield Buffer.from("+14155550100\n");
    }
    const jobs = await Promise.all(Array.from({ length: 6 }, () => makeJob(parts, { contacts: 0 })));
    const holding = jobs.map((job) => importInto(parts, job.id, held()));
    await eventually(() => expect(begun).toBe(2));
    const job = await makeJob(other, { contacts: 0 });
    expect(await importInto(other, job.id, toCsv(makeContacts(10)))).toMatchObject({ acceptedCount: 10 });
    expect(begun).toBe(2);
    over.resolve();
    expect(await Promise.all(holding)).toMatchObject(jobs.map(() => ({ acceptedCount: 1 })));
  });
});

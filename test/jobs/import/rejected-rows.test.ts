import { randomUUID } from "node:crypto";
import * as fc from "fast-check";
import { sql } from "kysely";
import Papa from "papaparse";
import { beforeEach, describe, expect, test } from "vitest";
import { plainFile } from "../../../src/files/contact-file.ts";
import { createRejectedFile } from "../../../src/jobs/import/rejected-file.ts";
import { purgeDeletedContacts } from "../../../src/postgres/contacts/purging.ts";
import {
  keepRejectedRows,
  organizationsWithOldRejectedRows,
  purgeRejectedRows,
} from "../../../src/postgres/contacts/rejected-rows.ts";
import { readContact } from "../../../src/postgres/contacts/contact-blocks.ts";
import { cellsOf, joined } from "../../support/exports.ts";
import { aNewJob, makeContacts, onJob } from "../../support/make.ts";
import { makeCaller } from "../../support/organization.ts";
import type { Parts } from "../../support/parts.ts";
import { inNewOrganizations } from "../../support/replicas.ts";
import { refusal } from "../../support/refusal.ts";

/* The rows of a file that an import rejected, as a file to mend and to import again. */

let parts: Parts;
inNewOrganizations((own) => (parts = own));

const never = new AbortController().signal;

const create = async (fields: Parameters<typeof aNewJob>[0] = {}) =>
  (await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: [], ...fields }))).batchJobId;

async function importInto(
  batchJobId: string,
  text: string,
  { requestId = "", options = plainFile, expectedRevision = undefined as number | undefined } = {},
) {
  async function* file() {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
  }
  const request = { caller: parts.caller, requestId, expectedRevision, batchJobId, options };
  return await parts.contactImport.run(request, file());
}

const rejectedOf = async (batchJobId: string, importId = "", caller = parts.caller) =>
  await joined(parts.exportRejectedRows({ caller, batchJobId, importId }, never));

async function contactsOf(batchJobId: string) {
  const { rows } = await sql<{ line: string; zones: string[] | null }>`
    select l.line, z.zones from contact_blocks b
    cross join lateral string_to_table(b.contacts, E'\n') with ordinality as l (line, place)
    left join zone_sets z on z.organization_id = b.organization_id and z.job_id = b.job_id
      and z.zone_set = b.zone_sets[l.place] and z.is_own
    where b.job_id = ${batchJobId} order by b.first_number, l.place`.execute(parts.db);
  return rows.map(({ line, zones }) => ({ ...readContact(line), zones }));
}

const must = (rule: string) => expect.stringMatching(new RegExp(`^${rule}`));

const phoneOf = (i: number) => `+1415555${String(i).padStart(4, "0")}`;

const keptParts = async () =>
  (
    await parts.db
      .selectFrom("rejected_rows")
      .select(["job_id as jobId", "import_id as importId", "part"])
      .where("organization_id", "=", parts.caller.organizationId)
      .execute()
  ).length;

describe("the rejected rows of a file", () => {
  test("are had whole and in its order, with their lines and what is wrong, duplicates too", async () => {
    const id = await create();
    const { importId, keptRejectedCount, rejectedCount } = await importInto(
      id,
      [
        "Phone Number;Name;city;=cmd;timezone",
        "0151;Ada;Berlin;x;",
        "+14155550101;Bob;Paris;y;Europe/Paris",
        "'+1 415 555-0101;Again;Rome, Italy;-z;Europe/Rome",
        "+14155550102;Short",
        "+14155550103;Zed;a;b;;extra",
        "+14155550104;Eve;';'=1+1;Mars/Olympus",
        "+14155550101;Third;';;",
      ].join("\n"),
    );
    expect({ rejectedCount, keptRejectedCount }).toEqual({ rejectedCount: 6, keptRejectedCount: 6 });
    const file = await rejectedOf(id, importId);
    expect(cellsOf(file).map((row) => row.slice(0, 3))).toEqual([
      ["rejected_line", "rejected_reason", "rejected_rule"],
      ["2", "invalid_phone_format", must("phone must")],
      ["4", "duplicate_phone", must("phone must")],
      ["5", "invalid_fields", must("must have a value for each")],
      ["6", "invalid_fields", must("must have values only")],
      ["7", "invalid_timezone", must("timezone must")],
      ["8", "duplicate_phone", must("phone must")],
    ]);
    expect(cellsOf(file).map((row) => row.slice(3))).toEqual([
      ["phone", "name", "city", 'fields["=cmd"]', "timezone"],
      ["0151", "Ada", "Berlin", "x", ""],
      ["'+14155550101", "Again", "Rome, Italy", "'-z", "Europe/Rome"],
      ["'+14155550102", "Short"],
      ["'+14155550103", "Zed", "a", "b", "", "extra"],
      ["'+14155550104", "Eve", "'", "'=1+1", "Mars/Olympus"],
      ["'+14155550101", "Third", "'", "", ""],
    ]);
    expect(file.toString().endsWith("\r\n")).toBe(true);
  });

  test("are rejected again as they are, and no column of them becomes a field", async () => {
    const id = await create();
    const first = await importInto(id, "phone,city\n1,Rome\n2,Bonn\n+14155550100,Oslo\n+14155550100,Linz\n");
    const again = await importInto(id, (await rejectedOf(id, first.importId)).toString());
    expect(again).toMatchObject({ acceptedCount: 0, rejectedCount: 3 });
    expect(cellsOf(await rejectedOf(id, again.importId)).map((row) => row.slice(1))).toEqual([
      ["rejected_reason", "rejected_rule", "phone", "city"],
      ["invalid_phone_format", expect.any(String), "1", "Rome"],
      ["invalid_phone_format", expect.any(String), "2", "Bonn"],
      ["duplicate_phone", expect.any(String), "'+14155550100", "Linz"],
    ]);
    expect(await contactsOf(id)).toMatchObject([{ fields: { city: "Oslo" } }]);
  });

  test("are had as they were written, to be read by the same region once they are mended", async () => {
    const id = await create();
    const options = { ...plainFile, defaultRegion: "US", phoneColumn: "callee" };
    const text = "phone,callee,city\nx,(415) 555,Rome\ny,(415) 555-0100,Bonn\nz,415 555 0101 x12,Linz\n";
    const { importId } = await importInto(id, text, { options });
    const file = (await rejectedOf(id, importId)).toString();
    expect(cellsOf(Buffer.from(file)).map((row) => row.slice(3))).toEqual([
      ['fields["phone"]', "phone", "city"],
      ["x", "(415) 555", "Rome"],
      ["z", "415 555 0101 x12", "Linz"],
    ]);
    const mended = file.replace("(415) 555,", "(415) 555-0105,").replace(" x12", "");
    const again = await importInto(id, mended, { options: { ...plainFile, defaultRegion: "US" } });
    expect(again).toMatchObject({ acceptedCount: 2, rejectedCount: 0 });
    expect(await contactsOf(id)).toMatchObject([
      { phone: "+14155550100", fields: { phone: "y", city: "Bonn" } },
      { phone: "+14155550105", fields: { phone: "x", city: "Rome" } },
      { phone: "+14155550101", fields: { phone: "z", city: "Linz" } },
    ]);
  });

  test("that are mended are the contacts that they would have been, whatever is in them", async () => {
    const odd = [
      "",
      "'",
      "=1+1",
      "-x",
      "@a;=b",
      "'=1",
      " x ",
      'a"b',
      "a\nb",
      "a\tb",
      "\u0000",
      "\u0007",
      "ü",
      ",",
    ];
    const text = fc.oneof(fc.constantFrom(...odd), fc.string({ unit: "grapheme", maxLength: 8 }));
    const row = fc.tuple(text, text, text, text);
    const titles = ["phone", "name", "city", "=1+1", "rejected_rule"];
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 40 }), async (rows) => {
        const write = (phone: (i: number) => string) =>
          Papa.unparse([titles, ...rows.map((cells, i) => [phone(i), ...cells])], { quotes: true });
        const [straight, mended] = [await create(), await create()];
        await importInto(straight, write(phoneOf));
        const { importId, rejectedCount } = await importInto(
          mended,
          write((i) => `bad ${i}`),
        );
        expect(rejectedCount).toBe(rows.length);
        const [first = [], ...rejected] = Papa.parse<string[]>(
          (await rejectedOf(mended, importId)).toString(),
          {
            skipEmptyLines: true,
          },
        ).data;
        const byHand = rejected.map((cells) =>
          cells.map((cell, at) =>
            at === 3 ? cell.replace(/^bad (\d+)$/, (_, i) => phoneOf(Number(i))) : cell,
          ),
        );
        await importInto(mended, Papa.unparse([first, ...byHand], { quotes: true }));
        expect(await contactsOf(mended)).toEqual(await contactsOf(straight));
      }),
      { numRuns: 6 },
    );
  });

  test("come in their order out of many parts, and as many as there are", async () => {
    const id = await create();
    const lines = Array.from({ length: 6_000 }, (_, i) =>
      i % 3 === 0 ? `bad ${i},${"x".repeat(50)}` : `+1415555${String(i % 3_000).padStart(4, "0")},`,
    );
    const { importId, rejectedCount } = await importInto(id, `phone,note\n${lines.join("\n")}\n`);
    expect(await keptParts()).toBeGreaterThan(5);
    const rows = cellsOf(await rejectedOf(id, importId)).slice(1);
    expect(rows).toHaveLength(rejectedCount);
    const wrong = lines.flatMap((line, i) =>
      i % 3 === 0 || i >= 3_000 ? [[String(i + 2), line.split(",")[0]]] : [],
    );
    expect(rows.map(([line, , , phone = ""]) => [line, phone.replace(/^'/, "")])).toEqual(wrong);
  });
});

describe("the file of rejected rows", () => {
  let id: string;
  let importId: string | undefined;
  beforeEach(async () => {
    id = await create();
    ({ importId } = await importInto(id, "phone\n1\n2\n"));
  });

  test("is the job's, and the organization's", async () => {
    const other = await create();
    expect(await refusal(rejectedOf(other, importId))).toMatchObject({ reason: "import_not_found" });
    expect(await refusal(rejectedOf(id, randomUUID()))).toMatchObject({ reason: "import_not_found" });
    expect(await refusal(rejectedOf(id, "1; drop"))).toMatchObject({ reason: "import_not_found" });
    const stranger = await makeCaller(parts);
    expect(await refusal(rejectedOf(id, importId, stranger))).toMatchObject({ reason: "job_not_found" });
  });

  test("is named by the answer to a repetition, too, and kept once", async () => {
    const asked = { requestId: randomUUID() };
    const first = await importInto(id, "phone\n3\n", asked);
    expect(await importInto(id, "phone\n3\n", asked)).toEqual(first);
    expect(await keptParts()).toBe(2);
  });

  test("is not there where the import failed, or rejected nothing", async () => {
    await refusal(importInto(id, "phone\n3\n", { expectedRevision: 99 }));
    const none = await importInto(id, "phone\n+14155550199\n");
    expect(none).not.toHaveProperty("importId");
    expect(await keptParts()).toBe(1);
  });

  test("goes after 24 hours", async () => {
    const { organizationId } = parts.caller;
    await parts.db
      .updateTable("rejected_rows")
      .set({ created_at: sql<Date>`clock_timestamp() - interval '24 hours 1 minute'` })
      .where("job_id", "=", id)
      .execute();
    const { importId: later } = await importInto(id, "phone\n3\n");
    expect(await organizationsWithOldRejectedRows(parts.db, 1_000)).toContain(organizationId);
    expect(await purgeRejectedRows(parts.db, organizationId, 10)).toBe(1);
    expect(await organizationsWithOldRejectedRows(parts.db, 1_000)).not.toContain(organizationId);
    expect(await refusal(rejectedOf(id, importId))).toMatchObject({ reason: "import_not_found" });
    expect(cellsOf(await rejectedOf(id, later))).toHaveLength(2);
  });

  test("goes with its job", async () => {
    await parts.jobs.delete(onJob(parts, id));
    expect(await refusal(rejectedOf(id, importId))).toMatchObject({ reason: "job_not_found" });
    while (await purgeDeletedContacts(parts.db, 1_000));
    expect(await keptParts()).toBe(0);
  });

  test("goes before others when the organization keeps too much", async () => {
    const { organizationId } = parts.caller;
    const staged = sql`(select 1 as line, repeat('x', 1000) as csv) as given`;
    const keep = async (jobId: string, most: number) => {
      const file = { organizationId, jobId, importId: randomUUID() };
      await parts.db.transaction().execute((trx) => keepRejectedRows(trx, staged, file, most));
      return file.importId;
    };
    const second = await keep(id, 2_000);
    expect(cellsOf(await rejectedOf(id, importId))).toHaveLength(3);
    const third = await keep(id, 2_000);
    expect(await refusal(rejectedOf(id, importId))).toMatchObject({ reason: "import_not_found" });
    expect((await rejectedOf(id, second)).length + (await rejectedOf(id, third)).length).toBe(2_000);
    // One alone is kept, however large.
    const last = await keep(id, 10);
    expect(await keptParts()).toBe(1);
    expect(await rejectedOf(id, last)).toHaveLength(1_000);
  });

  test("breaks off where a part of it has gone meanwhile, and is not taken for a whole one", async () => {
    const lines = Array.from({ length: 3_000 }, (_, i) => `bad ${i}`);
    const { importId: large = "" } = await importInto(id, `phone\n${lines.join("\n")}\n`);
    const pieces = parts.exportRejectedRows({ caller: parts.caller, batchJobId: id, importId: large }, never);
    await pieces.next();
    await parts.db.deleteFrom("rejected_rows").where("import_id", "=", large).execute();
    expect(await refusal(pieces.next())).toMatchObject({ reason: "import_not_found" });
  });
});

test("so many bytes of rejected rows are gathered, and of the rest the number alone is known", () => {
  const file = createRejectedFile({ rows: 2, bytes: 90 }, 100);
  file.writeTitles(["a"]);
  file.add(5, () => ["12345"]);
  file.add(6, () => {
    throw new Error("is not written");
  });
  expect(file.kept()).toEqual({ rows: 3, bytes: 100 });
  expect(file.take()).toBe("0\ta\\r\\n\n5\t12345\\r\\n\n");
  expect(file.take()).toBe("");
});

test("contacts of a job are duplicates with all that the file says of them", async () => {
  const id = await create({ contacts: makeContacts(1), zonesFromPhone: true });
  const [{ phone = "" } = {}] = makeContacts(1);
  const { importId } = await importInto(id, `phone,timezone,a,b\n${phone},,1,'\n${phone},Asia/Tokyo,,2\n`);
  expect(cellsOf(await rejectedOf(id, importId)).map((row) => row.slice(3))).toEqual([
    ["phone", "timezone", "a", "b"],
    [`'${phone}`, "", "1", "'"],
    [`'${phone}`, "Asia/Tokyo", "", "2"],
  ]);
});

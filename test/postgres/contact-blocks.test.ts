import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { sql } from "kysely";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ContactInput } from "../../src/domain/contacts/contact.ts";
import { findContact, listContacts } from "../../src/postgres/contacts/contacts.ts";
import { toCell } from "../../src/files/cells.ts";
import { currentContacts } from "../../src/postgres/contacts/current-contacts.ts";
import { makeJob, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { root } from "../support/readme.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

/** As a row of a CSV file whose header is phone, name and `keys`. */
const csvRow = ({ phone, name, fields }: ContactInput, keys: readonly string[]): string =>
  [phone, toCell(name), ...keys.map((key) => toCell(fields[key] ?? ""))]
    .map((value) => `"${value.replaceAll('"', '""')}"`)
    .join(",");

const pick = ({ phone, name, fields }: ContactInput): ContactInput => ({ phone, name, fields });

async function* inTwo(text: string) {
  const bytes = Buffer.from(text);
  const half = bytes.length >> 1;
  yield bytes.subarray(0, half);
  yield bytes.subarray(half);
}

/** Adds contacts as a file, or by AddContacts. */
const ways = {
  "by AddContacts": async (jobId: string, contacts: readonly ContactInput[]) => {
    await parts.jobs.addContacts(onJob(parts, jobId), [...contacts]);
  },
  "by a file": async (jobId: string, contacts: readonly ContactInput[]) => {
    const keys = [...new Set(contacts.flatMap(({ fields }) => Object.keys(fields)))];
    const header = ["phone", "name", ...keys].map((key) => `"${key.replaceAll('"', '""')}"`).join(",");
    const file = [header, ...contacts.map((contact) => csvRow(contact, keys))].join("\n");
    const { caller, requestId, expectedRevision } = onJob(parts, jobId);
    await parts.contactImport.run({ caller, requestId, expectedRevision, batchJobId: jobId }, inTwo(file));
  },
};

const text = (maxLength: number, minLength = 0) =>
  fc
    .string({ unit: "grapheme", minLength, maxLength })
    .filter((value) => !/[\p{Cc}\p{Cs}]/u.test(value) && [...value].length <= maxLength);

const names = fc.oneof(
  text(200),
  fc.constantFrom("", "\\", "\\N", "\\.", "a\\tb", '"', "{}", "'", "'=1", "Ada", "𝒜da \u2028"),
);

/**
 * Contacts with the same keys of fields, as those of a file have; their values are from nothing to a whole block's
 * worth.
 */
const lists = fc
  .uniqueArray(
    // A file has no blanks around a title.
    text(20, 1).filter(
      (key) => key === key.trim() && !["phone", "name", "__proto__"].includes(key.toLowerCase()),
    ),
    { maxLength: 3 },
  )
  .chain((keys) =>
    fc
      .array(
        fc.record({
          name: names,
          values: fc.tuple(
            ...keys.map(() =>
              fc.oneof(
                names,
                fc.nat(900).map((n) => "é".repeat(n)),
              ),
            ),
          ),
        }),
        { minLength: 1, maxLength: 60 },
      )
      .map((rows) =>
        rows.map(({ name, values }) => ({
          name,
          fields: Object.fromEntries(keys.map((key, i) => [key, values[i] ?? ""])),
        })),
      ),
  );

describe.each(Object.entries(ways))("contacts that were added %s", (_, add) => {
  test("are found by their numbers as they were given, wherever their blocks begin", async () => {
    let next = 0;
    const { organizationId } = parts.caller;
    await fc.assert(
      fc.asyncProperty(fc.array(lists, { minLength: 1, maxLength: 3 }), async (additions) => {
        const { id } = await makeJob(parts, { contacts: 0 });
        const given: ContactInput[] = [];
        for (const addition of additions) {
          const contacts = addition.map((contact) => ({ ...contact, phone: `+1415${10_000_000 + next++}` }));
          await add(id, contacts);
          given.push(...contacts);
        }
        const found = await Promise.all(
          given.map((_contact, i) => findContact(parts.db, organizationId, id, i + 1)),
        );
        expect(found.map((one) => one && pick(one.contact))).toEqual(given);
        expect(await findContact(parts.db, organizationId, id, given.length + 1)).toBeUndefined();
        const { contacts: listed } = await listContacts(parts.db, organizationId, id, undefined, {
          after: 0,
          size: 1_000,
        });
        expect(listed.map(pick)).toEqual(given);
        const rows = await parts.db
          .selectFrom(currentContacts.as("contacts"))
          .select(["job_id as jobId", "number", "phone", "name", "fields", "status", "attempts"])
          .select(["last_outcome as lastOutcome", "next_attempt_at as nextAttemptAt"])
          .where("job_id", "=", id)
          .orderBy("number")
          .execute();
        expect(rows).toEqual(listed);
      }),
      { numRuns: 15 },
    );
  });

  test("are in blocks that Postgres keeps whole, where contacts are of ordinary size", async () => {
    const { id } = await makeJob(parts, { contacts: 0 });
    const contacts = Array.from({ length: 1_000 }, (_contact, i) => ({
      phone: `+1415${20_000_000 + i}`,
      name: `Contact ${i}`,
      fields: { plan: "basic", city: "London" },
    }));
    await add(id, contacts);
    const { rows } = await sql<{ blocks: number; largest: number }>`
      select count(*)::int as blocks, max(pg_column_size(b.*)) as largest from contact_blocks b where job_id = ${id}
    `.execute(parts.db);
    expect(rows[0]?.blocks).toBeLessThan(50);
    expect(rows[0]?.largest).toBeLessThan(2_032);
  });
});

test("what is added is numbered on without a gap, whatever it has twice", async () => {
  const { id } = await makeJob(parts, { contacts: 3 });
  const contacts = Array.from({ length: 100 }, (_, i) => ({
    phone: `+1415${5_000_000 + (i % 50)}`,
    name: "x".repeat(190),
    fields: {},
  }));
  expect(await parts.jobs.addContacts(onJob(parts, id), contacts)).toMatchObject({
    acceptedCount: 47,
    totalContacts: 50,
  });
  const { contacts: listed } = await listContacts(parts.db, parts.caller.organizationId, id, undefined, {
    after: 0,
    size: 100,
  });
  expect(listed.map(({ number, phone }) => ({ number, phone }))).toEqual(
    Array.from({ length: 50 }, (_, i) => ({ number: i + 1, phone: `+1415${5_000_000 + i}` })),
  );
});

test("the format of blocks is known in one file of TypeScript, and in functions of Postgres that read a block", () => {
  const source = join(root, "src");
  const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter(
    (file) => /\.(ts|sql)$/.test(file) && !/^(console|gen)\/|migrations\//.test(file),
  );
  const knowing = files.filter((file) =>
    /split_part|string_to_table|starts_with\(.*\\t'|contacts\.split|\.split\("\\t"\)|\\t\$\{name\}/.test(
      readFileSync(join(source, file), "utf8"),
    ),
  );
  // An export's attempts travel in lines of their own.
  expect(knowing.toSorted()).toEqual([
    "postgres/contacts/contact-blocks.ts",
    "postgres/contacts/exports.ts",
    "postgres/functions/contact_line.sql",
    "postgres/functions/contact_phone.sql",
    "postgres/functions/is_erased_line.sql",
  ]);
});

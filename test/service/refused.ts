import type { JsonObject } from "@bufbuild/protobuf";
import { sql } from "kysely";
import { expect } from "vitest";
import type { Database } from "../../src/postgres/connections/database.ts";

/** What a refusal for wrong fields looks like: an ErrorInfo for the first, a BadRequest for all. */
export const wrongFields = (fields: string[]) => ({
  refused: {
    code: "invalid_argument",
    message: expect.stringContaining(fields[0] ?? ""),
    details: [
      {
        "@type": "google.rpc.ErrorInfo",
        reason: "INVALID_ARGUMENT",
        domain: "callsheet",
        metadata: { code: "invalid_argument", field: fields[0] },
      },
      {
        "@type": "google.rpc.BadRequest",
        fieldViolations: fields.map((field) => ({ field, description: expect.stringMatching(/./) })),
      },
    ],
  },
});

/** What any other refusal looks like. */
export const refusedAs = (reason: string, code: string, metadata: JsonObject, message = /./) => ({
  refused: {
    code,
    message: expect.stringMatching(message),
    details: [
      {
        "@type": "google.rpc.ErrorInfo",
        reason: reason.toUpperCase(),
        domain: "callsheet",
        metadata: { code: reason, ...metadata },
      },
    ],
  },
});

/** Every row that a command could write. */
export async function allRows(db: Database): Promise<Record<string, unknown[]>> {
  const tables = [
    "batch_jobs",
    "zone_sets",
    "contact_blocks",
    "attempts",
    "deleted_jobs",
    "requests",
    "events",
    "event_heads",
  ];
  const rows = tables.map(async (table) => {
    const { rows: all } = await sql`select * from ${sql.table(table)} as t order by t::text`.execute(db);
    return [table, all] as const;
  });
  return Object.fromEntries(await Promise.all(rows));
}

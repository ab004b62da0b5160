import { createHash } from "node:crypto";
import { sql } from "kysely";
import { DatabaseError } from "pg";

/*
 * A statement that runs often is prepared: each connection that has a process of the server for itself parses and
 * plans it once. A pooler that gives each transaction another process knows nothing of it, and over such a connection
 * it is sent as any other.
 *
 * Such a statement names its columns, for a `*` breaks as soon as a migration adds one; its text is one of a few; and
 * it can only find rows through an index, whatever the tables were like when it was planned.
 */

const mark = "/* often */";

/** Stands first in a statement that is to be prepared. */
export const often = sql.raw(mark);

const names = new Map<string, string>();

/** Under which name a statement is prepared; undefined for one that is not. */
export function preparedName(text: string): string | undefined {
  if (!text.trimStart().startsWith(mark)) return undefined;
  const known = names.get(text);
  if (known !== undefined) return known;
  const name = `often_${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;
  names.set(text, name);
  return name;
}

/** The tables have changed under it, or somebody has discarded it. */
const outdated = new Set(["0A000", "26000"]);

/** True if a prepared statement fails for what its connection has kept: over another one it would not. */
export const isOutdated = (error: unknown): boolean =>
  error instanceof DatabaseError && outdated.has(error.code ?? "");

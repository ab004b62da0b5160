import { expect } from "vitest";
import type { BatchJobRow } from "../../src/postgres/schema/tables.ts";
import type { Whole } from "./look.ts";

export function rowOf({ row }: Whole): BatchJobRow {
  if (row === undefined) throw new Error("there is no such job");
  return row;
}

const laterThan = (date: Date): unknown =>
  expect.toSatisfy((other: Date) => other.getTime() > date.getTime(), `later than ${date.toISOString()}`);

/** The row of a job as it was, one revision on, but for these columns. */
export const oneRevisionOn = (was: Whole, columns: Partial<Record<keyof BatchJobRow, unknown>>) => ({
  ...rowOf(was),
  revision: rowOf(was).revision + 1,
  updated_at: laterThan(rowOf(was).updated_at),
  ...columns,
});

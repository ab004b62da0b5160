import { BatchJobError } from "../../domain/batch-job-error.ts";
import { toConnectError } from "../errors.ts";

/** What the query of a path holds, of these names and no others. */
export function readQuery(query: URLSearchParams, names: readonly string[]): Record<string, string> {
  const given: Record<string, string> = Object.fromEntries(query);
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (unknown === undefined) return given;
  const sentence =
    names.length === 0
      ? "The query may hold nothing."
      : `The query may hold ${names.join(" and ")}, and nothing else.`;
  throw refuse(unknown.slice(0, 64), sentence);
}

/** The refusal of what stands in a query or a header. */
export const refuse = (field: string, message: string) =>
  toConnectError(new BatchJobError("invalid_argument", message, { field }));

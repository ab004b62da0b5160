import { BatchJobError } from "../domain/batch-job-error.ts";

/** The refusal of a file that is not what it should be. */
export const badFile = (message: string, metadata: Readonly<Record<string, string>> = {}): BatchJobError =>
  new BatchJobError("invalid_argument", message, { field: "csv", ...metadata });

export const emptyFile = (): BatchJobError =>
  badFile("The file is empty; its first line must name its columns, and one of them must be phone.");

export const fileWithoutRows = (what: "contact" | "phone" = "contact"): BatchJobError =>
  badFile(
    `The file has a line that names its columns, and no row below it; there must be one for each ${what}.`,
  );

import { BatchJobError } from "../domain/batch-job-error.ts";

/** The refusal of a file that is not what it should be. */
export const badFile = (message: string, metadata: Readonly<Record<string, string>> = {}): BatchJobError =>
  new BatchJobError("invalid_argument", message, { field: "csv", ...metadata });

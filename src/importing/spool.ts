import { randomUUID } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import { BatchJobError } from "../domain/batch-job-error.ts";

/** Text that is written once and then read, by this process alone; it is gone with the process. */
export type Spool = AsyncDisposable & {
  write(texts: readonly Buffer[]): Promise<void>;
  /** All that was written, from its beginning. */
  read(): AsyncIterable<Buffer>;
};

const readSize = 128 * 1024;

/** A spool in a file without a name, in the directory for temporary files (TMPDIR). Unavailable if there is no room. */
export async function openSpool(logger: Logger): Promise<Spool> {
  const refuse = (error: unknown): never => {
    logger.error({ err: error }, "a file of contacts cannot be spooled in TMPDIR");
    throw new BatchJobError("unavailable", "The service has no room for the file now; try again later.");
  };
  const name = join(tmpdir(), `callsheet-${randomUUID()}`);
  const file = await open(name, "wx+", 0o600).catch(refuse);
  await rm(name);
  return {
    async write(texts) {
      for (const text of texts) await file.appendFile(text).catch(refuse);
    },
    read: () => file.createReadStream({ start: 0, autoClose: false, highWaterMark: readSize }),
    [Symbol.asyncDispose]: () => file.close(),
  };
}

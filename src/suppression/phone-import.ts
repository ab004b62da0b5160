import { createHash } from "node:crypto";
import type { SuppressedPhoneInput } from "../domain/suppressed-phone.ts";
import { emptyFile, fileWithoutRows } from "../files/bad-file.ts";
import { type CsvRecord, createCsvReader } from "../files/csv.ts";
import { type CommandRequest, createCommandRunner } from "../jobs/command.ts";
import { createRejections } from "../jobs/import/contact-import.ts";
import { type Limits, hashed, inPieces } from "../jobs/import/pieces.ts";
import type { InTurn } from "../jobs/import/slots.ts";
import type { RejectedRow } from "../domain/contact.ts";
import type { Shares } from "../postgres/connections.ts";
import { isKept } from "../postgres/requests.ts";
import type { Metrics } from "../vitals/metrics.ts";
import { addRecorded } from "./suppression.ts";
import { createPhoneRows } from "./phone-rows.ts";

/** Whose list the file is for, and why. The file's bytes are a part of what was asked. */
export type PhoneImportRequest = Omit<CommandRequest, "fingerprint"> & {
  /** Of rows that have none of their own. */
  readonly reason: string;
};

export type ImportedPhones = {
  readonly addedCount: number;
  readonly alreadyCount: number;
  readonly rejectedCount: number;
  readonly rejected: readonly RejectedRow[];
};

/**
 * Adds the phones of a CSV file to an organization's list while the file arrives; what was added stays if it throws.
 * `file` must throw unless it came to its end.
 */
export type PhoneImport = (
  request: PhoneImportRequest,
  file: AsyncIterable<Uint8Array>,
) => Promise<ImportedPhones>;

const rpc = "ImportSuppressedPhones";

/** A fraction of a second of work for Postgres; meanwhile the next ones are read. */
const phonesAtATime = 20_000;

export function createPhoneImport(deps: {
  shares: Shares;
  limits: Limits;
  /** Files of contacts have their turns among these. */
  inTurn: InTurn;
  metrics: Metrics;
  now: () => number;
}): PhoneImport {
  const { shares, limits, inTurn, metrics, now } = deps;
  const run = createCommandRunner({ shares, doRedisHalves: () => [] });

  async function importFile(
    request: PhoneImportRequest,
    file: AsyncIterable<Uint8Array>,
  ): Promise<ImportedPhones> {
    const { caller, requestId, reason } = request;
    const { organizationId } = caller;
    const db = shares.of(organizationId);
    // A repetition adds nothing again: somebody may have removed some of it since.
    const isDone = requestId !== "" && (await isKept(db, { organizationId, rpc, requestId }));
    const rejections = createRejections();
    const hash = createHash("sha256").update(JSON.stringify([reason]));
    const csv = createCsvReader();
    let rows: ReturnType<typeof createPhoneRows> | undefined;
    let read = 0;
    let added = 0;
    let batch: SuppressedPhoneInput[] = [];
    let writing: Promise<unknown> = Promise.resolve();

    function take(records: readonly CsvRecord[]): void {
      for (const { line, values } of records) {
        if (rows === undefined) {
          rows = createPhoneRows(values, reason);
          continue;
        }
        read += 1;
        const entry = rows.read(values, now());
        if ("rule" in entry) rejections.add(line, rows.phoneOf(values), entry);
        else batch.push(entry);
      }
    }

    async function write(): Promise<void> {
      const phones = batch;
      batch = [];
      await writing;
      if (isDone || phones.length === 0) return;
      const work = db.transaction().execute((trx) => addRecorded(trx, request, phones));
      writing = work.then((count) => (added += count));
      // A failure is seen when it is waited for.
      writing.catch(() => {});
    }

    try {
      for await (const piece of hashed(inPieces(file, limits), hash)) {
        take(csv.read(piece));
        if (batch.length >= phonesAtATime) await write();
      }
      take(csv.end());
      await write();
    } finally {
      await writing;
    }
    if (rows === undefined) throw emptyFile();
    if (read === 0) throw fileWithoutRows("phone");
    const fingerprint = hash.digest();
    const imported: ImportedPhones = {
      addedCount: added,
      alreadyCount: read - rejections.count - added,
      rejectedCount: rejections.count,
      rejected: rejections.first,
    };
    return await run(
      { ...request, fingerprint: () => fingerprint },
      { rpc, decide: () => Promise.resolve(imported), redisHalf: () => ({}) },
    );
  }

  return async function importPhones(request, file) {
    metrics.importsInHand.inc();
    try {
      return await inTurn(request.caller.organizationId, async () => {
        const end = metrics.importSeconds.startTimer();
        const imported = await importFile(request, file);
        end();
        return imported;
      });
    } finally {
      metrics.importsInHand.dec();
    }
  };
}

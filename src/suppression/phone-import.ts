import { createHash } from "node:crypto";
import { answerGone } from "../domain/batch-job-error.ts";
import type { SuppressedPhoneInput } from "../domain/contacts/suppressed-phone.ts";
import { emptyFile, fileWithoutRows } from "../files/bad-file.ts";
import { type CsvRecord, createCsvReader } from "../files/csv.ts";
import { type CommandRequest, createCommandRunner } from "../jobs/commands/command.ts";
import { readInBatches } from "../jobs/import/batches.ts";
import { createRejections } from "../jobs/import/contact-import.ts";
import { type Limits, hashed, inPieces } from "../jobs/import/pieces.ts";
import type { InTurn } from "../jobs/import/slots.ts";
import type { RejectedRow } from "../domain/contacts/contact.ts";
import type { Shares } from "../postgres/connections/connections.ts";
import { type ErasureKey, joinAdders } from "../postgres/phones/erased-phones.ts";
import { telling } from "../postgres/events/events.ts";
import { isKept } from "../postgres/jobs/requests.ts";
import { addTold, withoutErased } from "./suppression.ts";
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
  now: () => number;
  erasureKey?: ErasureKey | undefined;
}): PhoneImport {
  const { shares, limits, inTurn, now, erasureKey } = deps;
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
    let rows: ReturnType<typeof createPhoneRows> | undefined;
    let read = 0;
    let added = 0;
    let batch: SuppressedPhoneInput[] = [];

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
      if (isDone || phones.length === 0) return;
      const count = await db.transaction().execute((trx) =>
        telling(trx, organizationId, async (tell) => {
          const erased = await joinAdders(trx, organizationId, erasureKey);
          return await addTold(trx, request, phones, erased, tell);
        }),
      );
      added += count;
    }

    const pieces = hashed(inPieces(file, limits), hash);
    await readInBatches(pieces, createCsvReader(), {
      take,
      isFull: () => batch.length >= phonesAtATime,
      write,
    });
    if (rows === undefined) throw emptyFile();
    if (read === 0) throw fileWithoutRows("phone");
    const fingerprint = hash.digest();
    const imported = {
      addedCount: added,
      alreadyCount: read - rejections.count - added,
      rejectedCount: rejections.count,
    };
    return await run(
      { ...request, fingerprint: () => fingerprint },
      {
        rpc,
        async decide(trx): Promise<ImportedPhones> {
          if (isDone) throw answerGone();
          const erased = await joinAdders(trx, organizationId, erasureKey);
          return { ...imported, rejected: await withoutErased(trx, erased, rejections.first) };
        },
        redisHalf: () => ({}),
      },
    );
  }

  return (request, file) => inTurn(request.caller.organizationId, () => importFile(request, file));
}

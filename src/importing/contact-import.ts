import { createHash } from "node:crypto";
import type { Logger } from "pino";
import { PhonesAreMissing, whenNothingKeepsOut } from "../adding.ts";
import {
  type JobCommandRequest,
  check,
  checkRevision,
  keyOf,
  lockForCommand,
  shownRejections,
} from "../batch-jobs.ts";
import { createCommandRunner } from "../command.ts";
import { type RejectedRow, type RejectionReason, shownPhone } from "../domain/contact.ts";
import type { FanOut } from "../fan-out.ts";
import { holdOffAll } from "../postgres/adding.ts";
import { blockBytes, rowOfBlock } from "../postgres/contact-blocks.ts";
import { type Trx, countAdded, findJob } from "../postgres/batch-jobs.ts";
import type { Database } from "../postgres/database.ts";
import { isKept } from "../postgres/requests.ts";
import { type Staging, sortOutPhones, openStaging } from "../postgres/staging.ts";
import { createTurns } from "../turns.ts";
import { createRowReader, readColumns } from "./contact-rows.ts";
import { type CsvRecord, badFile, createCsvReader } from "./csv.ts";
import { type Limits, inPieces } from "./pieces.ts";
import { type Spool, openSpool } from "./spool.ts";

/** Which file goes where. The file's bytes are a part of what was asked. */
export type ImportRequest = Omit<JobCommandRequest, "fingerprint">;

export type Imported = {
  readonly acceptedCount: number;
  readonly totalContacts: number;
  readonly rejectedCount: number;
  readonly rejected: readonly RejectedRow[];
};

export type ContactImport = {
  /**
   * Adds the contacts of a CSV file to a job: all that are accepted, or, if it throws, none. `file` must throw unless it
   * came to its end. Its contacts are spooled while it arrives; the job is locked when all of them are written.
   */
  run(request: ImportRequest, file: AsyncIterable<Uint8Array>): Promise<Imported>;
};

const rpc = "ImportContacts";

/** Each has a connection to Postgres and some 10 MB; further ones wait, and so do their clients. */
const filesAtOnce = 4;

/** Contacts are spooled, and their phones staged, some megabytes at a time; meanwhile the next ones are read. */
const batchSize = 2 * 1024 * 1024;

/** How many rows of a file were rejected, and the first of them. */
function createRejections() {
  const first: RejectedRow[] = [];
  let count = 0;
  return {
    first,
    get count() {
      return count;
    },
    add(line: number, phone: string, reason: RejectionReason): void {
      count += 1;
      if (first.length < shownRejections) first.push({ line, phone: shownPhone(phone), reason });
    },
  };
}

type Rejections = ReturnType<typeof createRejections>;

/** Reads a file to its end into the spool, and its phones into the staging table; answers how many contacts it has. */
async function spoolAll(
  pieces: AsyncIterable<Buffer>,
  { spool, staging, rejections }: { spool: Spool; staging: Staging; rejections: Rejections },
): Promise<number> {
  const csv = createCsvReader();
  let rows: ReturnType<typeof createRowReader> | undefined;
  let staged = 0;
  let contacts: Buffer[] = [];
  let phones: Buffer[] = [];
  let batchBytes = 0;
  let writing: Promise<unknown> = Promise.resolve();

  function take(records: readonly CsvRecord[]): void {
    let contactText = "";
    let phoneText = "";
    for (const { line, values } of records) {
      if (rows === undefined) {
        rows = createRowReader(readColumns(values));
        continue;
      }
      const row = rows.read(values);
      if (typeof row === "string") {
        rejections.add(line, rows.phoneOf(values), row);
      } else {
        staged += 1;
        contactText += `${row.line}\n`;
        phoneText += `${staged}\t${line}\t${row.digits}\n`;
      }
    }
    const bytes = Buffer.from(contactText);
    contacts.push(bytes);
    phones.push(Buffer.from(phoneText));
    batchBytes += bytes.length;
  }

  async function write(): Promise<void> {
    const [fullContacts, fullPhones] = [contacts, phones];
    [contacts, phones] = [[], []];
    batchBytes = 0;
    await writing;
    writing = Promise.all([spool.write(fullContacts), staging.stage(fullPhones)]);
    // A failure is seen when it is waited for.
    writing.catch(() => {});
  }

  try {
    for await (const piece of pieces) {
      take(csv.read(piece));
      if (batchBytes >= batchSize) await write();
    }
    take(csv.end());
    if (batchBytes > 0) await write();
  } finally {
    await writing;
  }
  if (rows === undefined) {
    throw badFile("The file is empty; its first line must name its columns, and one of them must be phone.");
  }
  return staged;
}

/** The spooled contacts but the duplicates, numbered on from `lastNumber`, in blocks for COPY. */
function createBlocks(
  spool: Spool,
  {
    jobId,
    lastNumber,
    isDuplicate,
  }: { jobId: string; lastNumber: number; isDuplicate: (position: number) => boolean },
) {
  let position = 0;
  let number = lastNumber;
  let block: string[] = [];
  let blockSize = 0;

  function close(): string {
    const row = rowOfBlock(jobId, number - block.length + 1, block);
    block = [];
    blockSize = 0;
    return row;
  }

  async function* rows() {
    let rest = "";
    for await (const bytes of spool.read()) {
      // As Latin-1 every byte stays what it is, also where a character is cut.
      const lines = (rest + bytes.toString("latin1")).split("\n");
      rest = lines.pop() ?? "";
      let text = "";
      for (const line of lines) {
        position += 1;
        if (isDuplicate(position)) continue;
        if (block.length > 0 && blockSize + line.length > blockBytes) text += close();
        number += 1;
        block.push(line);
        blockSize += line.length + 1;
      }
      if (text !== "") yield Buffer.from(text, "latin1");
    }
    if (block.length > 0) yield Buffer.from(close(), "latin1");
  }

  return {
    rows,
    /** How many contacts are in the rows so far. */
    count: () => number - lastNumber,
  };
}

async function* hashed(pieces: AsyncIterable<Buffer>, hash: ReturnType<typeof createHash>) {
  for await (const piece of pieces) {
    hash.update(piece);
    yield piece;
  }
}

export function createContactImport(deps: {
  databaseUrl: string;
  db: Database;
  fanOut: FanOut;
  logger: Logger;
  limits: Limits;
}): ContactImport {
  const { databaseUrl, db, limits } = deps;
  const inTurn = createTurns(filesAtOnce);

  /** Spares the client of a file that would be refused the sending of it. Decides nothing. */
  async function checkBeforehand(request: ImportRequest): Promise<void> {
    const { caller, requestId, batchJobId, expectedRevision } = request;
    const { organizationId } = caller;
    if (requestId !== "" && (await isKept(db, { organizationId, rpc, requestId }))) return;
    const job = await findJob(db, organizationId, batchJobId);
    checkRevision(job, expectedRevision);
    check("add_contacts", job);
  }

  async function importFile(request: ImportRequest, file: AsyncIterable<Uint8Array>): Promise<Imported> {
    await using spool = await openSpool(deps.logger);
    await using staging = await openStaging(databaseUrl);
    const rejections = createRejections();
    const asked = [request.batchJobId, String(request.expectedRevision)];
    const hash = createHash("sha256").update(JSON.stringify(asked));
    const pieces = hashed(inPieces(file, limits), hash);
    const given = await spoolAll(pieces, { spool, staging, rejections });
    const fingerprint = hash.digest();

    const run = createCommandRunner({ ...deps, db: staging.db });
    const command = { ...request, fingerprint: () => fingerprint };
    async function decide(trx: Trx) {
      const find = () => findJob(trx, request.caller.organizationId, request.batchJobId);
      await holdOffAll(trx, (await find()).id);
      const before = await find();
      const { id, total_contacts: lastNumber } = before;
      // A job's first contacts are compared with each other alone.
      const withPhones = lastNumber > 0;
      if (withPhones && !before.has_all_phones) throw new PhonesAreMissing(id);
      const duplicates = await sortOutPhones(trx, before, shownRejections);
      const blocks = createBlocks(spool, { jobId: id, lastNumber, isDuplicate: duplicates.has });
      await staging.write(blocks.rows());
      const count = blocks.count();
      if (count !== given - duplicates.count) throw new Error("not all contacts of the file were written");
      const job = await lockForCommand(trx, command);
      check("add_contacts", job);
      const after = count === 0 ? job : await countAdded(trx, id, { count, withPhones });
      const repeated = duplicates.first.map((row) => ({ ...row, reason: "duplicate_phone" as const }));
      return {
        acceptedCount: count,
        totalContacts: after.total_contacts,
        toFanOut: job.status === "running" && count > 0 ? keyOf(job) : null,
        rejectedCount: rejections.count + duplicates.count,
        rejected: [...rejections.first, ...repeated]
          .toSorted((a, b) => a.line - b.line)
          .slice(0, shownRejections),
      };
    }

    return await whenNothingKeepsOut(staging.db, () =>
      run(command, {
        rpc,
        decide,
        redisHalf: async () => false,
        toFanOut: (answer) => answer.toFanOut ?? undefined,
      }),
    );
  }

  return {
    async run(request, file) {
      await checkBeforehand(request);
      return await inTurn(() => importFile(request, file));
    },
  };
}

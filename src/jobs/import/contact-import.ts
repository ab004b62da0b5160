import { createHash, randomUUID } from "node:crypto";
import { PhonesAreMissing, noteAdded, whenNothingKeepsOut } from "../contacts/adding.ts";
import {
  type JobCommandRequest,
  check,
  checkNow,
  checkRevision,
  lockForCommand,
} from "../commands/checks.ts";
import { createCommandRunner } from "../commands/command.ts";
import { shownRejections } from "../commands/new-job.ts";
import { type DoRedisHalves, goOn, toGoOn } from "../commands/redis-halves.ts";
import {
  type Flaw,
  type RejectedRow,
  duplicatePhone,
  erasedPhone,
  phonesOf,
  shownPhone,
} from "../../domain/contacts/contact.ts";
import { createZoneSets, joinZoneSets } from "../../domain/time/zone-sets.ts";
import type { Tell } from "../../domain/event.ts";
import { holdOffAll } from "../../postgres/contacts/adding.ts";
import { createBlocks, readContact, writeLine } from "../../postgres/contacts/contact-blocks.ts";
import { type Trx, findJob } from "../../postgres/jobs/batch-jobs.ts";
import type { Shares } from "../../postgres/connections/connections.ts";
import {
  type ErasedPhones,
  type ErasureKey,
  findErased,
  joinAdders,
} from "../../postgres/phones/erased-phones.ts";
import { type RejectedFile, keepRejectedRows } from "../../postgres/contacts/rejected-rows.ts";
import { isKept } from "../../postgres/jobs/requests.ts";
import { checkRoom } from "../../postgres/contacts/stored-contacts.ts";
import {
  type Staging,
  blockRow,
  openStaging,
  phoneRow,
  readDuplicates,
  sortOutPhones,
  writeStaged,
} from "../../postgres/contacts/staging.ts";
import { hasZonesFromPhone, readZoneSets } from "../../postgres/contacts/zone-sets.ts";
import { type FileOptions, type FileRow, createContactFile, plainFile } from "../../files/contact-file.ts";
import type { RejectedSheet } from "../../files/rejected-sheet.ts";
import { readInBatches } from "./batches.ts";
import { type Limits, hashed, inPieces } from "./pieces.ts";
import { type Kept, createRejectedFile } from "./rejected-file.ts";
import type { InTurn } from "./slots.ts";
import type { Metrics } from "../../vitals/metrics.ts";

/** Which file goes where. The file's bytes are a part of what was asked. */
export type ImportRequest = Omit<JobCommandRequest, "fingerprint"> & {
  /** How the file is to be read; nothing is said of it if not given. */
  readonly options?: FileOptions;
};

export type Imported = {
  readonly acceptedCount: number;
  readonly totalContacts: number;
  readonly rejectedCount: number;
  readonly rejected: readonly RejectedRow[];
  /** Names the import where rows were rejected: they are kept under it. */
  readonly importId?: string;
  /** How many of them are kept. */
  readonly keptRejectedCount?: number;
};

export type ContactImport = {
  /**
   * Adds the contacts of a CSV file to a job: all that are accepted, or, if it throws, none. `file` must throw unless
   * it came to its end. Its contacts are staged while it arrives; the job is locked when all of them are written.
   */
  run(request: ImportRequest, file: AsyncIterable<Uint8Array>): Promise<Imported>;
};

const rpc = "ImportContacts";

/** Each has a connection to Postgres and some 10 MB; further ones wait unread, and so do their clients. */
export const filesAtOnce = { atOnce: 4, perOrganization: 2 };

/** Contacts are staged some megabytes at a time; meanwhile the next ones are read. */
const batchBytes = 2 * 1024 * 1024;

/** How many rows of a file were rejected, and the first of them. */
export function createRejections() {
  const first: RejectedRow[] = [];
  let count = 0;
  return {
    first,
    get count() {
      return count;
    },
    add(line: number, phone: string, flaw: Flaw): void {
      count += 1;
      if (first.length < shownRejections) first.push({ line, phone: shownPhone(phone), ...flaw });
    },
  };
}

type Rejections = ReturnType<typeof createRejections>;
type ZoneSets = ReturnType<typeof createZoneSets>;

/** Reads a file to its end, and stages its contacts, each with its set of time zones; answers how many it has. */
async function stageAll(
  pieces: AsyncIterable<Buffer>,
  to: {
    reader: ReturnType<typeof createContactFile>;
    staging: Staging;
    rejections: Rejections;
    rejectedFile: ReturnType<typeof createRejectedFile>;
    sets: ZoneSets;
  },
): Promise<number> {
  const { reader, staging, rejections, rejectedFile, sets } = to;
  const blocks = createBlocks(blockRow);
  let phones = "";

  function take(rows: readonly FileRow[]): void {
    for (const row of rows) {
      if ("flaw" in row) {
        const { line, phone, flaw, values } = row;
        rejections.add(line, phone, flaw);
        rejectedFile.add(line, () => reader.rejectedSheet().rowOf(line, flaw, values));
      } else {
        const { phone, name, fields } = row.contact;
        blocks.add(writeLine(phone, name, fields), sets.of(row.contact));
        phones += phoneRow(blocks.count(), row.line, phone);
      }
    }
  }

  await readInBatches(pieces, reader, {
    take,
    isFull: () => blocks.bytes() + rejectedFile.waitingBytes() >= batchBytes,
    async write(some) {
      const [fullPhones, fullBlocks, rejected] = [phones, blocks.take(some), rejectedFile.take()];
      phones = "";
      await staging.stage(fullPhones, fullBlocks);
      if (rejected !== "") await staging.stageRejected(rejected);
    },
  });
  return blocks.count();
}

/**
 * Keeps the rows that were staged as rejected, and those of duplicates, as the file of an import; answers how many. The
 * transaction has sorted out duplicates, of which there are so many.
 */
async function keepRejected(
  trx: Trx,
  file: RejectedFile,
  from: {
    staging: Staging;
    sheet: RejectedSheet;
    sets: ZoneSets;
    before: Kept;
    duplicates: number;
    erased: ErasedPhones | undefined;
  },
): Promise<number> {
  const { staging, sheet, sets, before, duplicates, erased } = from;
  const rejected = createRejectedFile(before);
  rejected.writeTitles(sheet.titles);
  const timezones = new Map(
    sets.all().flatMap(({ zoneSet, zones, isOwn }) => (isOwn ? [[zoneSet, zones[0]]] : [])),
  );
  const pages = duplicates > 0 ? readDuplicates(trx, staging.tables, file.organizationId) : [];
  for await (const page of pages) {
    const contacts = page.map((row) => ({ ...row, contact: readContact(row.contact) }));
    const hidden = await findErased(trx, erased, phonesOf(contacts.map(({ contact }) => contact)));
    for (const { line, contact, zoneSet } of contacts) {
      if (hidden.has(contact.phone)) continue;
      const timezone = timezones.get(zoneSet);
      const given = { ...contact, ...(timezone === undefined ? {} : { timezone }) };
      rejected.add(line, () => sheet.rowOfContact(line, duplicatePhone, given));
    }
    await staging.stageRejected(rejected.take());
  }
  await staging.stageRejected(rejected.take());
  await keepRejectedRows(trx, staging.tables.rejected, file);
  return rejected.kept().rows;
}

export function createContactImport(deps: {
  /** Of a connection that is a file's own while it is on its way in. */
  directUrl: string;
  shares: Shares;
  doRedisHalves: DoRedisHalves;
  limits: Limits;
  inTurn: InTurn;
  metrics: Metrics;
  erasureKey?: ErasureKey | undefined;
}): ContactImport {
  const { directUrl, shares, doRedisHalves, limits, inTurn, metrics, erasureKey } = deps;

  /** Spares the client of a file that would be refused the sending of it. Decides nothing. */
  async function checkBeforehand(request: ImportRequest): Promise<void> {
    const { caller, requestId, batchJobId, expectedRevision } = request;
    const { organizationId } = caller;
    const db = shares.of(organizationId);
    if (requestId !== "" && (await isKept(db, { organizationId, rpc, requestId }))) return;
    const job = await findJob(db, organizationId, batchJobId);
    checkRevision(job, expectedRevision);
    check("add_contacts", job);
    await checkRoom(db, organizationId);
  }

  async function importFile(request: ImportRequest, file: AsyncIterable<Uint8Array>): Promise<Imported> {
    const { options = plainFile } = request;
    const reader = createContactFile(options);
    await using staging = await openStaging(directUrl, request.caller.organizationId);
    const rejections = createRejections();
    const rejectedFile = createRejectedFile();
    const importId = randomUUID();
    const said = Object.entries(options).filter(([, value]) => value !== "");
    const asked = [request.batchJobId, String(request.expectedRevision), ...said];
    const hash = createHash("sha256").update(JSON.stringify(asked));
    const pieces = hashed(inPieces(file, limits), hash);
    const { organizationId } = request.caller;
    const zonesFromPhone = await hasZonesFromPhone(
      shares.of(organizationId),
      organizationId,
      request.batchJobId,
    );
    const ofFile = createZoneSets([], { zonesFromPhone });
    const given = await stageAll(pieces, { reader, staging, rejections, rejectedFile, sets: ofFile });
    const fingerprint = hash.digest();

    const run = createCommandRunner({ shares: { of: () => staging.db }, doRedisHalves });
    const command = { ...request, fingerprint: () => fingerprint };
    async function decide(trx: Trx, tell: Tell) {
      const find = () => findJob(trx, request.caller.organizationId, request.batchJobId);
      const erased = await joinAdders(trx, organizationId, erasureKey);
      await holdOffAll(trx, (await find()).id);
      const before = await find();
      // A job's first contacts are compared with each other alone.
      const withPhones = before.totalContacts > 0;
      if (withPhones && !before.hasAllPhones) throw new PhonesAreMissing(before);
      const duplicates = await sortOutPhones(trx, staging.tables, before, shownRejections, erased);
      // Nobody else gives the job sets meanwhile.
      const known = before.zoneSets > 1 ? await readZoneSets(trx, before) : [];
      const { all, numbers } = joinZoneSets(known, ofFile.all());
      const counts = await writeStaged(trx, staging.tables, before, [0, ...numbers]);
      const count = given - duplicates.count;
      const rejectedCount = rejections.count + duplicates.count;
      const ofImport = { organizationId, jobId: before.id, importId };
      const kept =
        rejectedCount > 0 &&
        (await keepRejected(trx, ofImport, {
          staging,
          sheet: reader.rejectedSheet(),
          sets: ofFile,
          before: rejectedFile.kept(),
          duplicates: duplicates.count,
          erased,
        }));
      const job = await lockForCommand(trx, command);
      await checkNow(trx, "add_contacts", job);
      const zoneSets = all.map((set) => ({ ...set, contacts: counts.get(set.zoneSet) ?? 0 }));
      const after = await noteAdded(trx, request, job, { count, withPhones, zoneSets }, tell);
      const repeated = duplicates.first.map((row) => ({ ...row, ...duplicatePhone }));
      const rejected = [...rejections.first, ...repeated];
      const hidden = await findErased(trx, erased, phonesOf(rejected));
      return {
        acceptedCount: count,
        totalContacts: after.totalContacts,
        ...toGoOn(job, after),
        rejectedCount,
        ...(kept === false ? {} : { importId, keptRejectedCount: kept }),
        rejected: rejected
          .map((row) => (hidden.has(row.phone) ? { line: row.line, phone: "", ...erasedPhone } : row))
          .toSorted((a, b) => a.line - b.line)
          .slice(0, shownRejections),
      };
    }

    return await whenNothingKeepsOut(staging.db, () =>
      run(command, {
        rpc,
        decide,
        redisHalf: goOn,
      }),
    );
  }

  async function counted(work: Promise<Imported>): Promise<Imported> {
    const imported = await work;
    metrics.importedContacts.inc({ result: "accepted" }, imported.acceptedCount);
    metrics.importedContacts.inc({ result: "rejected" }, imported.rejectedCount);
    return imported;
  }

  return {
    async run(request, file) {
      await checkBeforehand(request);
      return await inTurn(request.caller.organizationId, () => counted(importFile(request, file)));
    },
  };
}

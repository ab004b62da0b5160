import { setImmediate as nextTurn } from "node:timers/promises";
import { BatchJobError, serviceBusy } from "../../domain/batch-job-error.ts";
import { type BatchJob, shownStatus } from "../../domain/jobs/batch-job.ts";
import type { Caller } from "../../domain/caller.ts";
import type { ContactStatus } from "../../domain/contacts/contact.ts";
import { writeCsv } from "../../files/csv-writer.ts";
import { findJob, type Trx } from "../../postgres/jobs/batch-jobs.ts";
import { erasedLine, fieldsIn, readContact } from "../../postgres/contacts/contact-blocks.ts";
import type { Database } from "../../postgres/connections/database.ts";
import {
  type Block,
  type Calls,
  type EndedAttempt,
  type Snapshot,
  mostAttempts,
  openSnapshot,
  readBlocks,
  readCalls,
} from "../../postgres/contacts/exports.ts";
import { readZoneSets } from "../../postgres/contacts/zone-sets.ts";
import { afterPatience } from "../../timing/patience.ts";
import { afterWaiting, onceAborted, whichever } from "../../timing/seats.ts";
import type { Metrics } from "../../vitals/metrics.ts";
import { createSlotTaking } from "../import/slots.ts";
import { type Sheet, createSheet } from "./sheet.ts";

export type ExportRequest = {
  readonly caller: Caller;
  readonly batchJobId: string;
  /** None for all. */
  readonly statuses: readonly ContactStatus[];
  readonly attempts: "all" | "last";
};

/**
 * The contacts of a job and what has become of them, as one file of CSV in pieces, as of one instant. It is whole once
 * it has come to its end without an error; whoever leaves it before frees all that it holds.
 */
export type ExportContacts = (request: ExportRequest, signal: AbortSignal) => AsyncGenerator<Uint8Array>;

export type ExportLimits = {
  /** A file that is not read to its end by then is broken off. */
  readonly timeoutMs: number;
  /** And one of which nothing is read for so long. */
  readonly idleMs: number;
};

/** While a file is read Postgres keeps all that has changed since its instant. */
export const defaultExportLimits: ExportLimits = { timeoutMs: 600_000, idleMs: 30_000 };

/** Each has a connection to Postgres and some 10 MB. */
export const exportsAtOnce = { atOnce: 4, perOrganization: 2 };

/** Those that find no slot wait for one, but not for so long that their clients give up. */
const slotPatienceMs = 30_000;

/** Some thousand contacts, so that others get their turn in between. */
const blocksAtOnce = 32;

export const pieceBytes = 256 * 1024;

/** A file has a column for each field that any of the contacts has. */
const mostFields = 1_000;

type Page = { readonly blocks: readonly Block[]; readonly calls: Calls };

const tooManyFields = (job: BatchJob) =>
  new BatchJobError(
    "too_large",
    `The contacts of the batch job have more than ${mostFields} different fields, too many for the columns of a file; read them with ListContacts.`,
    { batchJobId: job.id, field: "fields", limit: String(mostFields) },
  );

const notRead = ({ idleMs }: ExportLimits) =>
  new BatchJobError(
    "limit_exceeded",
    `Nothing of the file was read for ${idleMs / 1000} s, and it was broken off; ask for it again, and read it without a pause.`,
    { limit: `${idleMs / 1000}s` },
  );

const readTooSlowly = ({ timeoutMs }: ExportLimits) =>
  new BatchJobError(
    "limit_exceeded",
    `The file was not read to its end within ${timeoutMs / 1000} s, and was broken off; read it faster, or raise EXPORT_TIMEOUT of the service.`,
    { limit: `${timeoutMs / 1000}s` },
  );

/** The names of all fields of a job's contacts, each where it comes first. */
async function findFields(pages: AsyncIterable<readonly Block[]>, job: BatchJob): Promise<string[]> {
  const names = new Set<string>();
  let known = "{}";
  for await (const blocks of pages) {
    for (const line of blocks.flatMap(({ lines }) => lines)) {
      const fields = fieldsIn(line);
      if (fields === known || fields === "") continue;
      known = fields;
      for (const name of Object.keys(JSON.parse(fields))) names.add(name);
    }
    if (names.size > mostFields) throw tooManyFields(job);
  }
  return [...names];
}

/** The next of them is made while somebody is busy with the one before. */
async function* madeAhead<T>(make: () => Promise<T | undefined>): AsyncGenerator<T> {
  let next = make();
  for (;;) {
    const made = await next;
    if (made === undefined) return;
    next = make();
    // A failure is seen when it is waited for.
    next.catch(() => {});
    yield made;
    await nextTurn();
  }
}

/** Reads a job's blocks from the first to the last; undefined after them. */
function createBlockReading(read: (after: number) => Promise<Block[]>) {
  let after = 0;
  return async (): Promise<readonly Block[] | undefined> => {
    const blocks = await read(after);
    after = blocks.at(-1)?.firstNumber ?? after;
    return blocks.length === 0 ? undefined : blocks;
  };
}

/** The attempts of each contact that has ended any. */
function byNumber(ended: readonly EndedAttempt[]): ReadonlyMap<number, EndedAttempt[]> {
  const found = new Map<number, EndedAttempt[]>();
  for (const attempt of ended) {
    const others = found.get(attempt.number);
    if (others === undefined) found.set(attempt.number, [attempt]);
    else others.push(attempt);
  }
  return found;
}

/** How a file shows contacts, and their own time zones by the sets that they are in. */
type Shown = {
  readonly job: BatchJob;
  readonly sheet: Sheet;
  readonly statuses: ReadonlySet<ContactStatus>;
  readonly timezones: ReadonlyMap<number, string>;
};

function writePage({ blocks, calls }: Page, { job, sheet, statuses, timezones }: Shown): string {
  const attempts = byNumber(calls.ended);
  const leases = new Map(calls.live.map((lease) => [lease.number, lease]));
  const rows: string[][] = [];
  for (const { firstNumber, lines, zoneSets } of blocks) {
    for (const [i, line] of lines.entries()) {
      if (line === "" || line === erasedLine) continue;
      const known = attempts.get(firstNumber + i) ?? [];
      const live = leases.get(firstNumber + i);
      const status = shownStatus((live ?? known.at(-1))?.status ?? "pending", job.status);
      const ended = known.filter(({ outcome }) => outcome !== "suppressed");
      if (statuses.size > 0 && !statuses.has(status)) continue;
      const timezone = timezones.get(zoneSets?.[i] ?? 0) ?? "";
      rows.push(sheet.cellsOf({ contact: { ...readContact(line), timezone }, status, ended, live }));
    }
  }
  return writeCsv(rows);
}

function* inPieces(text: string): Generator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

export function createContactExport(deps: {
  /** Of connections that nobody else has, as many as exports at once. */
  db: Database;
  limits: ExportLimits;
  /** The work, or an error at once while it cannot succeed. */
  guard?: <T>(work: () => Promise<T>) => Promise<T>;
  metrics: Metrics;
}): ExportContacts {
  const { db, limits, guard = (work) => work(), metrics } = deps;
  const takeSlot = createSlotTaking(exportsAtOnce);

  async function takeInTime(caller: Caller, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const inTime = afterWaiting(slotPatienceMs, serviceBusy);
    return await takeSlot(caller.organizationId, whichever(onceAborted(signal), inTime));
  }

  /** The whole file, read from one snapshot. */
  async function* write(snapshot: Snapshot, request: ExportRequest): AsyncGenerator<Uint8Array> {
    const read = <T>(work: (trx: Trx) => Promise<T>) => guard(() => snapshot.read(work));
    const job = await read((trx) => findJob(trx, request.caller.organizationId, request.batchJobId));
    const blocksOf = () =>
      createBlockReading((after) => read((trx) => readBlocks(trx, job, after, blocksAtOnce)));
    const fields = await findFields(madeAhead(blocksOf()), job);
    const attempts = request.attempts === "all" ? await read((trx) => mostAttempts(trx, job)) : 0;
    const zoneSets = job.zoneSets > 1 ? await read((trx) => readZoneSets(trx, job)) : [];
    const timezones = new Map(
      zoneSets.flatMap(({ zoneSet, zones, isOwn }) => (isOwn ? [[zoneSet, zones[0] ?? ""] as const] : [])),
    );
    const sheet = createSheet({ fields, attempts, hasTimeZones: timezones.size > 0 });
    yield* inPieces(writeCsv([sheet.titles]));

    const isUntouched = job.counts.pending === job.totalContacts;
    const nextBlocks = blocksOf();
    async function nextPage(): Promise<Page | undefined> {
      const blocks = await nextBlocks();
      const [first, last] = [blocks?.[0], blocks?.at(-1)];
      if (blocks === undefined || first === undefined || last === undefined) return undefined;
      if (isUntouched) return { blocks, calls: { ended: [], live: [] } };
      const numbers = { from: first.firstNumber, to: last.firstNumber + last.lines.length - 1 };
      const calls = await read((trx) => readCalls(trx, job, { ...numbers, attempts: request.attempts }));
      return { blocks, calls };
    }
    const statuses = new Set(request.statuses);
    for await (const page of madeAhead(nextPage))
      yield* inPieces(writePage(page, { job, sheet, statuses, timezones }));
  }

  return async function* exportContacts(request, signal) {
    const held = new AsyncDisposableStack();
    // Nobody waits for it: a Postgres that does not answer would keep an error from its caller.
    const free = () => void held.disposeAsync().catch(() => {});
    let over: BatchJobError | undefined;
    let isWithReader = false;
    const breakOff = (error: BatchJobError) => {
      over ??= error;
      // A reader that does not read is told when it does; until then it must not hold anything.
      if (isWithReader) free();
    };
    const check = () => {
      signal.throwIfAborted();
      if (over !== undefined) throw over;
    };
    metrics.exportsInHand.inc();
    try {
      held.defer(await takeInTime(request.caller, signal));
      const end = metrics.exportSeconds.startTimer();
      const snapshot = held.use(await guard(() => openSnapshot(db)));
      held.defer(afterPatience(limits.timeoutMs, () => breakOff(readTooSlowly(limits))));
      for await (const piece of write(snapshot, request)) {
        check();
        isWithReader = true;
        const callOff = afterPatience(limits.idleMs, () => breakOff(notRead(limits)));
        try {
          yield piece;
        } finally {
          callOff();
          isWithReader = false;
        }
        check();
      }
      end();
    } finally {
      metrics.exportsInHand.dec();
      free();
    }
  };
}

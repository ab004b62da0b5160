import { type RawBuilder, sql } from "kysely";
import type { FinalContactStatus, StoredContactStatus } from "../../domain/contacts/contact.ts";
import type { JobKey } from "../../domain/jobs/job-id.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import { linesOf } from "./contact-blocks.ts";
import { contactStatus } from "./current-contacts.ts";
import { type Database, openPool, overPool, queryTimeoutOf } from "../connections/database.ts";

/** All that is read in it, one thing at a time, is as of one instant. */
export type Snapshot = AsyncDisposable & {
  /** Throws once it is being disposed of, which waits for what was asked before. */
  read<T>(work: (trx: Trx) => Promise<T>): Promise<T>;
};

/** A database over connections that exports alone have, since each has one for as long as its reader takes. */
export function openExports(options: { url: string; atOnce: number; idleMs: number }): Database {
  const { url, atOnce, idleMs } = options;
  const pool = openPool({ url, size: atOnce, keptIdle: 0, idleInTransactionMs: 2 * idleMs });
  return overPool(pool, { queryTimeoutMs: queryTimeoutOf({}) });
}

/** A transaction of its own, over a pooler too, which keeps a connection to a transaction until its end. */
export async function openSnapshot(db: Database): Promise<Snapshot> {
  const { promise: isOver, resolve: end } = Promise.withResolvers<void>();
  const { promise: trx, resolve, reject } = Promise.withResolvers<Trx>();
  const ended = db
    .transaction()
    .setIsolationLevel("repeatable read")
    .setAccessMode("read only")
    .execute(async (opened) => {
      resolve(opened);
      await isOver;
    })
    // Nothing was written; whoever waits for its beginning hears of it, and later whoever asks in it.
    .catch(reject);
  const opened = await trx;
  let isEnding = false;
  let reading: Promise<unknown> = Promise.resolve();
  return {
    async read(work) {
      // Asked later it would run outside, in the midst of whatever has the connection then.
      if (isEnding) throw new Error("the snapshot has ended");
      const asked = work(opened);
      reading = asked.catch(() => {});
      return await asked;
    },
    async [Symbol.asyncDispose]() {
      isEnding = true;
      await reading;
      end();
      await ended;
    },
  };
}

/** The rows of one job, which these statements read and no others. */
const rowsOf = ({ organizationId, id }: JobKey): RawBuilder<unknown> =>
  sql`organization_id = ${organizationId} and job_id = ${id}`;

export type Block = {
  readonly firstNumber: number;
  readonly lines: readonly string[];
  /** The set of time zones of each; null if all are in set 0. */
  readonly zoneSets: readonly number[] | null;
};

/** The next blocks of a job after a number, in order; none at its end. */
export async function readBlocks(trx: Trx, job: JobKey, after: number, count: number): Promise<Block[]> {
  const { rows } = await sql<{ first_number: number; contacts: string; zone_sets: number[] | null }>`
    select first_number, contacts, zone_sets from contact_blocks
    where ${rowsOf(job)} and first_number > ${after}::int
    order by first_number limit ${count}
  `.execute(trx);
  return rows.map((row) => ({
    firstNumber: row.first_number,
    lines: linesOf(row.contacts),
    zoneSets: row.zone_sets,
  }));
}

/** An attempt that goes on; times in ms. */
export type LiveAttempt = {
  readonly number: number;
  readonly attempt: number;
  readonly startedAtMs: number;
  readonly workerId: string;
  /** Of its contact, if it is the last of its attempts, and as if its job had not ended. */
  readonly status: StoredContactStatus;
};

/** One that has ended, or, as `suppressed`, none: its contact was not called again. What was not reported is empty. */
export type EndedAttempt = LiveAttempt & {
  readonly endedMs: number;
  readonly outcome: FinalContactStatus;
  readonly errorCode: string;
  readonly failureReason: string;
  readonly callDurationMs: number | undefined;
  readonly providerCallId: string;
};

export type Calls = { readonly ended: readonly EndedAttempt[]; readonly live: readonly LiveAttempt[] };

const inMs = (time: RawBuilder<unknown>) => sql`(date_part('epoch', ${time}) * 1000)::bigint`;
/** A text as JSON, in which no tab and no line end is left as it is; empty for none. */
const asJson = (text: RawBuilder<unknown>) => sql`coalesce(to_json(${text})::text, '')`;
const fromJson = (json = ""): string => (json === "" ? "" : JSON.parse(json));
/** A line for each row, with tabs between its columns: a third of the time that rows of their own would take. */
const inLines = (columns: readonly RawBuilder<unknown>[]) =>
  sql`coalesce(string_agg(concat_ws(E'\\t', ${sql.join(columns)}), E'\\n'), '')`;
const fromLines = (text: string): string[][] =>
  text === "" ? [] : text.split("\n").map((line) => line.split("\t"));

const ownColumns = [sql`number`, sql`attempt`, inMs(sql`leased_at`), asJson(sql`worker_id`)];
const liveColumns = [
  ...ownColumns,
  contactStatus({ isLeased: sql`true`, outcome: sql`null`, nextAttemptAt: sql`null` }),
];
const endedColumns = [
  ...ownColumns,
  contactStatus({ isLeased: sql`false`, outcome: sql`outcome`, nextAttemptAt: sql`next_attempt_at` }),
  inMs(sql`ended_at`),
  sql`outcome`,
  asJson(sql`error_code`),
  asJson(sql`failure_reason`),
  sql`coalesce(call_duration_ms::text, '')`,
  asJson(sql`provider_call_id`),
];

function toLive([number, attempt, startedAtMs, workerId, status]: readonly string[]): LiveAttempt {
  return {
    number: Number(number),
    attempt: Number(attempt),
    startedAtMs: Number(startedAtMs),
    workerId: fromJson(workerId),
    status: status as StoredContactStatus,
  };
}

function toEnded(columns: readonly string[]): EndedAttempt {
  const [, , , , , endedMs, outcome, errorCode, failureReason, durationMs, providerCallId] = columns;
  return {
    ...toLive(columns),
    endedMs: Number(endedMs),
    outcome: outcome as FinalContactStatus,
    errorCode: fromJson(errorCode),
    failureReason: fromJson(failureReason),
    callDurationMs: durationMs === "" ? undefined : Number(durationMs),
    providerCallId: fromJson(providerCallId),
  };
}

/**
 * The attempts of the contacts from one number to another, by number and attempt; of those that have ended all, or the
 * last of each contact. Behind them stands what is none, for a contact that is suppressed.
 */
export async function readCalls(
  trx: Trx,
  job: JobKey,
  { from, to, attempts }: { from: number; to: number; attempts: "all" | "last" },
): Promise<Calls> {
  const among = sql`${rowsOf(job)} and number between ${from}::int and ${to}::int`;
  const ended =
    attempts === "all"
      ? sql`select * from attempts where ${among} order by number, attempt`
      : sql`select distinct on (number, outcome = 'suppressed') * from attempts where ${among}
          order by number, outcome = 'suppressed', attempt desc`;
  const { rows } = await sql<{ ended: string; live: string }>`
    select (select ${inLines(endedColumns)} from (${ended}) as a) as ended,
      (select ${inLines(liveColumns)} from leases where ${among}) as live
  `.execute(trx);
  return {
    ended: fromLines(rows[0]?.ended ?? "").map(toEnded),
    live: fromLines(rows[0]?.live ?? "").map(toLive),
  };
}

/** The most attempts that a contact of the job has had, the one that goes on included. */
export async function mostAttempts(trx: Trx, job: JobKey): Promise<number> {
  const { rows } = await sql<{ most: number }>`
    select coalesce(greatest(
      (select max(attempt) from attempts where ${rowsOf(job)} and outcome <> 'suppressed'),
      (select max(attempt) from leases where ${rowsOf(job)})
    ), 0) as most
  `.execute(trx);
  return rows[0]?.most ?? 0;
}

import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { jittered } from "../../timing/loop.ts";
import type { Database } from "../connections/database.ts";

/** Who is told of a wait, and who ends it. */
export type Waiting = {
  /** Ends the wait: it throws. */
  readonly signal: AbortSignal;
  /** Hears what is waited for once that takes longer, and undefined when it is over. */
  readonly waitsFor: (sentence: string | undefined) => void;
};

/** What is over sooner is not worth a word. */
const quietMs = 1_000;

/** Tries until it has come about, with pauses; what it throws ends the wait. */
export async function until(
  tryOnce: () => Promise<boolean>,
  {
    waiting: { signal, waitsFor },
    pauseMs = 200,
    sentence,
  }: { waiting: Waiting; pauseMs?: number; sentence: () => Promise<string> },
): Promise<void> {
  const beganAt = performance.now();
  let isTold = false;
  while (!(await tryOnce())) {
    if (!isTold && performance.now() - beganAt >= quietMs) {
      waitsFor(await sentence());
      isTold = true;
    }
    await delay(jittered(pauseMs), undefined, { signal });
  }
  if (isTold) waitsFor(undefined);
}

/** Does the work, and says what it is once it takes longer. */
export async function tellingWhatTakesLong<T>(
  { waitsFor }: Waiting,
  sentence: string,
  work: () => Promise<T>,
): Promise<T> {
  let isTold = false;
  const timer = setTimeout(() => {
    isTold = true;
    waitsFor(sentence);
  }, quietMs);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
    if (isTold) waitsFor(undefined);
  }
}

/** The lock under which Kysely's migrator migrates, in every version. */
const lock = 3853314791062309107n;

const tryLock = async (connection: Database): Promise<boolean> => {
  const { rows } = await sql<{ isOurs: boolean }>`
    select pg_try_advisory_lock(${sql.lit(lock)}) as "isOurs"`.execute(connection);
  return rows[0]?.isOurs === true;
};

/** Whoever holds it is named as Postgres knows it: perhaps it holds it for ever. */
async function whoHolds(connection: Database): Promise<string> {
  const { rows } = await sql<{ pid: number }>`
    select pid from pg_locks
    where locktype = 'advisory' and granted and objsubid = 1
      and database = (select oid from pg_database where datname = current_database())
      and classid::bigint = ${sql.lit(lock >> 32n)} and objid::bigint = ${sql.lit(lock & 0xffff_ffffn)}`.execute(
    connection,
  );
  const holder = rows[0] === undefined ? "" : ` (process ${rows[0].pid} of Postgres)`;
  return `Another replica, or a command, changes the schema of the database${holder}; this one goes on once it has ended.`;
}

/**
 * Alone among all replicas that start: holds the lock that the migrator takes, in the session in which it takes it once
 * more. It is asked for again and again, and not waited for in a statement, which nobody could end, and whose snapshot
 * an index that is being built waits for.
 */
export async function underLock<T>(
  connection: Database,
  waiting: Waiting,
  work: () => Promise<T>,
): Promise<T> {
  await until(() => tryLock(connection), { waiting, sentence: () => whoHolds(connection) });
  try {
    return await work();
  } finally {
    await sql`select pg_advisory_unlock(${sql.lit(lock)})`.execute(connection);
  }
}

import { type SqlBool, sql } from "kysely";
import { retryDelayMs } from "../../domain/contacts/attempt.ts";
import { statusOfLeft } from "../../domain/jobs/batch-job.ts";
import type { ContactStatus, Outcome, StoredContactStatus } from "../../domain/contacts/contact.ts";
import type { LeaseKey } from "../../domain/contacts/lease-id.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import { type CountChanges, moveCounts, noteMove } from "../contacts/contact-counts.ts";
import type { Database } from "../connections/database.ts";
import { type Places, createStatement } from "../connections/statement.ts";
import { functions } from "../functions/functions.ts";
import { asRows, nameOf, plainArray } from "./lease-rows.ts";
import { type Held, lockFreeJobs, lockOrganization } from "../jobs/locks.ts";
import { haveRetriesJudged, retryColumns, retryValues } from "./retries.ts";
import { countPendingAgain } from "../contacts/zone-sets.ts";
import { isOwnedAs } from "../owned.ts";

/** What a worker tells of a call, beside its outcome. */
export type CallDetails = {
  errorCode: string;
  failureReason: string;
  callDurationMs: number | null;
  providerCallId: string;
};

/** How the attempt of a live lease ends. */
export type Ending = LeaseKey & {
  outcome: Outcome;
  details: CallDetails | undefined;
};

export type Ended = {
  endedAt: Date;
  /**
   * What each contact is now; undefined for a lease that was not live any more, and is left alone. Of a job that
   * somebody else has locked nothing is known yet.
   */
  contacts: ({ status: StoredContactStatus; nextAttemptAt: Date | null } | Held | undefined)[];
  /** The jobs that have ended by this. */
  finished: Stopped[];
  /** The jobs that have paused themselves. */
  paused: Stopped[];
};

/** A job that does not run any more, its new revision, and how many sets of time zones its contacts are in. */
export type Stopped = { id: string; revision: number; zoneSets: number };

const textOrNull = (text: string | undefined): string | null => (text === "" ? null : (text ?? null));

/** An array of texts; null where none of them says anything. */
function textArray(texts: (string | null)[]): (string | null)[] | string {
  return texts.every((text) => text === null) ? plainArray(texts) : texts;
}

/** What end_leases answers. */
export type EndedRow = {
  ended_ms: number;
  missed: number[] | null;
  waiting: number[] | null;
  waiting_ms: number[] | null;
  held_ids: string[] | null;
  finished_ids: string[] | null;
  finished_revisions: number[] | null;
  finished_zone_sets: number[] | null;
  paused_ids: string[] | null;
  paused_revisions: number[] | null;
  paused_zone_sets: number[] | null;
};

const jobsOf = (endings: readonly Ending[]): string[] => [...new Set(endings.map((e) => e.jobId))].toSorted();

/** What end_leases is told of endings, as Postgres reads it; with `onlyExpired` it ends those whose time is over. */
export function endingValues(endings: readonly Ending[], { onlyExpired }: { onlyExpired: boolean }) {
  const jobIds = jobsOf(endings);
  const turns = new Map(jobIds.map((id, i) => [id, i + 1]));
  return {
    onlyExpired,
    endedJobIds: plainArray(jobIds),
    endedTurns: plainArray(endings.map((e) => turns.get(e.jobId) ?? 0)),
    endedNumbers: plainArray(endings.map((e) => e.number)),
    attempts: plainArray(endings.map((e) => e.attempt)),
    nonces: plainArray(endings.map((e) => e.nonce)),
    outcomes: plainArray(endings.map((e) => e.outcome)),
    errorCodes: textArray(endings.map((e) => textOrNull(e.details?.errorCode))),
    failureReasons: textArray(endings.map((e) => textOrNull(e.details?.failureReason))),
    callDurationsMs: plainArray(endings.map((e) => e.details?.callDurationMs)),
    providerCallIds: textArray(endings.map((e) => textOrNull(e.details?.providerCallId))),
  };
}

export type EndingValues = ReturnType<typeof endingValues>;

/** The call of the function that ends leases. */
export const endCall = (organizationId: unknown, of: Places<EndingValues>) => sql`
  ${sql.id(functions.endLeases.name)}(
    ${organizationId}, ${of.onlyExpired}, ${of.endedJobIds}, ${of.endedTurns}, ${of.endedNumbers}, ${of.attempts},
    ${of.nonces}, ${of.outcomes}, ${of.errorCodes}, ${of.failureReasons}, ${of.callDurationsMs}, ${of.providerCallIds}
  )`;

const jobsIn = (ids: string[] | null, revisions: number[] | null, zoneSets: number[] | null): Stopped[] =>
  (ids ?? []).map((id, i) => ({ id, revision: revisions?.[i] ?? 0, zoneSets: zoneSets?.[i] ?? 0 }));

export function readEnded(endings: readonly Ending[], row: EndedRow | undefined): Ended {
  if (row === undefined) throw new Error("ending leases gave no answer");
  const missed = new Set(row.missed);
  const againMs = new Map(row.waiting?.map((place, i) => [place, row.waiting_ms?.[i] ?? 0]));
  const held = new Set(row.held_ids);
  const contacts = endings.map(({ jobId, outcome }, i) => {
    if (held.has(jobId)) return "held";
    if (missed.has(i + 1)) return undefined;
    const nextMs = againMs.get(i + 1);
    return nextMs === undefined
      ? { status: outcome, nextAttemptAt: null }
      : { status: "waiting_retry" as const, nextAttemptAt: new Date(nextMs) };
  });
  return {
    endedAt: new Date(row.ended_ms),
    contacts,
    finished: jobsIn(row.finished_ids, row.finished_revisions, row.finished_zone_sets),
    paused: jobsIn(row.paused_ids, row.paused_revisions, row.paused_zone_sets),
  };
}

const end = createStatement<EndingValues & { organizationId: number }, EndedRow>(
  (of) => sql`
    select * from ${endCall(of.organizationId, of)}`,
);

/**
 * Ends live leases: their attempts become history, and contacts, counts and jobs follow. With `onlyExpired` those whose
 * time is over, and as not reported. Jobs that somebody else has locked are passed by. One round trip and one commit.
 */
export async function endLeases(
  db: Database,
  organizationId: number,
  endings: readonly Ending[],
  options: { onlyExpired: boolean },
): Promise<Ended> {
  const [row] = await end(db, { organizationId, ...endingValues(endings, options) });
  return readEnded(endings, row);
}

/** What a contact is whose lease was taken back, and the set of time zones that it is in. */
export type Removed = {
  readonly status: ContactStatus;
  readonly nextAttemptAt: Date | null;
  readonly zoneSet: number;
};

/**
 * Takes live leases back as if they had not been given; their contacts can be leased at once. Answers what each contact
 * is then; undefined for a lease that was not live. Jobs that somebody else has locked are passed by.
 *
 * `by` a call whose caller has gone they are taken from that call only: a lease that it has taken over is that of the
 * call before it again, unless that has taken it back, too.
 */
export async function removeLeases(
  trx: Trx,
  organizationId: number,
  keys: readonly LeaseKey[],
  { by }: { by: "worker" | "call" },
): Promise<(Removed | Held | undefined)[]> {
  await lockOrganization(trx, organizationId);
  const { jobs, held } = await lockFreeJobs(trx, organizationId, [...new Set(keys.map((k) => k.jobId))]);
  const own = keys.filter((k) => jobs.has(k.jobId));
  type Row = LeaseKey & { lastOutcome: Outcome | null; nextAttemptAt: Date | null; zoneSet: number };
  const { rows } = await sql<Row>`
    with given as materialized (
      select *, ${by === "call"}::boolean as is_of_call from ${asRows(organizationId, own)}
    ), given_back as (
      update leases l
      set nonce = (array_remove(l.earlier_nonces || l.nonce, g.nonce))[cardinality(l.earlier_nonces)],
        earlier_nonces = nullif(trim_array(array_remove(l.earlier_nonces || l.nonce, g.nonce), 1), '{}')
      from given g
      where ${isOwnedAs("l", "g")} and l.job_id = g.job_id and l.number = g.number and l.attempt = g.attempt
        and g.is_of_call and g.nonce = any(l.earlier_nonces || l.nonce) and l.earlier_nonces is not null
    ), removed as (
      delete from leases l using given g
      where ${isOwnedAs("l", "g")} and l.job_id = g.job_id and l.number = g.number and l.attempt = g.attempt and l.nonce = g.nonce
        and not (g.is_of_call and l.earlier_nonces is not null)
      returning l.*
    ), before as (
      select r.organization_id, r.job_id, r.number, r.nonce, r.attempt, r.zone_set, a.outcome, a.next_attempt_at
      from removed r
      left join attempts a on ${isOwnedAs("a", "r")} and a.job_id = r.job_id and a.number = r.number and a.attempt = r.attempt - 1
    ), waiting as (
      insert into retries (organization_id, job_id, number, ${retryColumns})
      select organization_id, job_id, number, ${retryValues(sql`next_attempt_at`, sql`zone_set`)}
      from before where attempt > 1
    )
    select job_id as "jobId", number, nonce, attempt, zone_set as "zoneSet", outcome as "lastOutcome",
      next_attempt_at as "nextAttemptAt"
    from before
  `.execute(trx);
  const changes: CountChanges = new Map();
  const toJudge = new Set<string>();
  const removed = new Map<string, Removed>();
  const pending = rows.filter(({ attempt }) => attempt === 1);
  for (const row of rows) {
    const { jobId, attempt, lastOutcome, nextAttemptAt, zoneSet } = row;
    const status = attempt === 1 ? "pending" : "waiting_retry";
    noteMove(changes, jobId, "dialing", status);
    // What the job is set to may have changed since the lease was given.
    const rules = jobs.get(jobId);
    if (lastOutcome !== null && rules && retryDelayMs(lastOutcome, attempt - 1, rules) === null)
      toJudge.add(jobId);
    const left = rules && statusOfLeft(rules.status);
    removed.set(
      nameOf(row),
      left === undefined
        ? { status, nextAttemptAt, zoneSet }
        : { status: left, nextAttemptAt: null, zoneSet },
    );
  }
  await moveCounts(trx, organizationId, changes);
  await countPendingAgain(trx, organizationId, pending);
  await haveRetriesJudged(trx, organizationId, [...toJudge]);
  // Each lease is taken back once.
  return keys.map((key) => {
    if (held.has(key.jobId)) return "held";
    const one = removed.get(nameOf(key));
    removed.delete(nameOf(key));
    return one;
  });
}

/** The live leases of other jobs and organizations whose time is over, and whose they are; the longest past first. */
export async function findExpired(
  db: Database,
  limit: number,
  except: { readonly jobIds: readonly string[]; readonly organizationIds: readonly number[] },
): Promise<(LeaseKey & { organizationId: number })[]> {
  return await db
    .selectFrom("leases")
    .select(["organization_id as organizationId", "job_id as jobId", "number", "attempt", "nonce"])
    .where("expires_at", "<=", sql<Date>`(select clock_timestamp())`)
    .where(sql<SqlBool>`job_id <> all(${except.jobIds}::uuid[])`)
    .where(sql<SqlBool>`organization_id <> all(${except.organizationIds}::int[])`)
    .orderBy("expires_at")
    .limit(limit)
    .execute();
}

import { serviceBusy } from "../../domain/batch-job-error.ts";
import type { CallTrace } from "../../domain/call-trace.ts";
import type { EventType } from "../../domain/event.ts";
import { isUuid } from "../../domain/jobs/job-id.ts";
import { type Trx, insertJobs } from "../../postgres/jobs/batch-jobs.ts";
import { isRequestIdTaken, lockForCommands, writeCommands } from "../../postgres/jobs/commands.ts";
import type { SharesToWaitIn } from "../../postgres/connections/connections.ts";
import { isLockTimeout, isPostgresBusy, isPostgresUnavailable } from "../../postgres/connections/database.ts";
import { lockPatienceMs } from "../../postgres/jobs/locks.ts";
import type { RequestKey } from "../../postgres/jobs/requests.ts";
import { replaceTraces } from "../../postgres/leasing/traces.ts";
import { coalesceByKey } from "../../timing/coalesce.ts";
import { type CommandRequest, byOf, keyOfRequest } from "./command.ts";
import { type Decision, type InHand, type Verdict, type View, judge } from "./judgement.ts";
import type { Answered, DoRedisHalves, RedisHalf } from "./redis-halves.ts";

type Steps<A> = {
  readonly rpc: string;
  /** Under what its answer is kept, of one that is a part of the request. */
  readonly partKey?: RequestKey;
  readonly type: EventType;
  /** The job that is named, if it is a command on one. */
  readonly batchJobId?: string;
  /** Judges the command; may be called again. */
  readonly decide: (view: View) => Decision<A>;
  readonly redisHalf: (answer: A) => RedisHalf;
};

const withoutAnswer = () => new Error("a command was left without an answer");

/**
 * So many commands share a transaction, and so many transactions of an organization go on at once. With 64 in flight
 * these keep service and Postgres both at work; one transaction of all of them does half as many a second, since each
 * waits for the other then. Leases and reports have as many connections left.
 */
const mostTogether = 32;
const transactions = 2;

/** What a command comes to: what gives its answer or its refusal, or how it is to be tried again. */
type Outcome = (() => Promise<Answered<object>>) | "alone" | "in line";

/** The error is none that a command by itself would be spared. */
const isOfAll = (error: unknown): boolean => isPostgresUnavailable(error) && !isPostgresBusy(error);

/** Somebody else has taken the command's request id, or is about to. */
const isIdTaken = (error: unknown): boolean => isRequestIdTaken(error) || isLockTimeout(error);

/** Keeps the spans of calls with the jobs that they started or scheduled, and tells them what they follow from. */
async function goOnFrom(trx: Trx, organizationId: number, traces: ReadonlyMap<string, CallTrace>) {
  const kept = [...traces].map(([id, { traceparent }]) => ({ organizationId, id, traceparent }));
  for (const [id, before] of await replaceTraces(trx, kept)) traces.get(id)?.follows(before);
}

export type Together = ReturnType<typeof createTogether>;

/**
 * Runs commands that write no contacts. Those of one organization that are in hand together share a transaction: it
 * locks their jobs, each is judged in the order in which they came, and all are written at once; then their Redis
 * halves are done. Each is answered by itself, and alone if the transaction fails as a whole.
 *
 * Commands on jobs that somebody else has locked stand in the organization's line, which waits for the job of the
 * first and takes along whichever is free: however many are locked, one connection waits, of commands and of reports.
 *
 * With a request id the answer is kept in the same transaction, and a repetition is answered with it.
 */
export function createTogether(deps: { shares: SharesToWaitIn; doRedisHalves: DoRedisHalves }) {
  const { shares, doRedisHalves } = deps;

  /** Judges commands in one transaction, and writes what they come to. */
  async function decide(
    organizationId: number,
    commands: readonly InHand[],
    awaitedId?: string,
  ): Promise<readonly Verdict[]> {
    return await shares
      .of(organizationId)
      .transaction()
      .execute(async (trx) => {
        const jobIds = [...new Set(commands.flatMap(({ jobId }) => jobId ?? []))];
        const requests = commands.flatMap(({ key }) => key ?? []);
        const situation = await lockForCommands(trx, organizationId, { jobIds, requests, awaitedId });
        const { verdicts, created, traces, ...written } = judge(commands, situation);
        await insertJobs(trx, created);
        await goOnFrom(trx, organizationId, traces);
        const { changed: jobs, deletedIds, answers, events } = written;
        if (events.length > 0) {
          const { now } = situation;
          await writeCommands(trx, organizationId, { now, jobs, deletedIds, answers, events });
        }
        return verdicts;
      });
  }

  /** A command and its repetition beside it have one Redis half. */
  function settle(organizationId: number, verdicts: readonly Verdict[]): Outcome[] {
    const committed = [
      ...new Set(verdicts.flatMap((verdict) => (verdict.kind === "done" ? verdict.command : []))),
    ];
    const answers = doRedisHalves(shares.of(organizationId), organizationId, committed);
    const answerOf = new Map(answers.map((answer, i) => [committed[i], answer]));
    return verdicts.map((verdict): Outcome => {
      switch (verdict.kind) {
        case "kept out":
          return "in line";
        case "refused":
          return () => Promise.reject(verdict.refusal);
        case "answered":
          return () => Promise.resolve({ ...verdict.answer, entryRemoved: verdict.entryRemoved });
        case "done":
          return () => answerOf.get(verdict.command) ?? Promise.reject(withoutAnswer());
      }
    });
  }

  async function runTogether(
    organizationId: number,
    commands: readonly InHand[],
    awaitedId?: string,
  ): Promise<Outcome[]> {
    let verdicts: readonly Verdict[];
    try {
      verdicts = await decide(organizationId, commands, awaitedId);
    } catch (error) {
      if (isOfAll(error)) throw error;
      return commands.map(() => "alone");
    }
    return settle(organizationId, verdicts);
  }

  async function runAlone(organizationId: number, command: InHand): Promise<Outcome | undefined> {
    try {
      return settle(organizationId, await decide(organizationId, [command]))[0];
    } catch (error) {
      if (isIdTaken(error)) return "alone";
      throw error;
    }
  }

  const inHand = coalesceByKey(
    (organizationId: number, commands: readonly InHand[]) => runTogether(organizationId, commands),
    mostTogether,
    { atOnce: transactions },
  );
  /** Whoever is kept out again comes last the next time. */
  const inLine = coalesceByKey(
    (organizationId: number, commands: readonly InHand[]) =>
      shares.inLine(organizationId, () => runTogether(organizationId, commands, commands[0]?.jobId)),
    mostTogether,
  );

  return async function run<A extends object>(
    request: CommandRequest,
    steps: Steps<A>,
  ): Promise<Answered<A>> {
    const { organizationId } = request.caller;
    const { batchJobId = "" } = steps;
    const command: InHand = {
      key: steps.partKey ?? keyOfRequest(request, steps.rpc),
      type: steps.type,
      by: byOf(request),
      jobId: isUuid(batchJobId) ? batchJobId.toLowerCase() : undefined,
      decide: steps.decide,
      redisHalf: (answer) => steps.redisHalf(answer as A),
    };
    const patienceEnds = performance.now() + lockPatienceMs;
    let outcome: Outcome | undefined = await inHand(organizationId, command);
    while (outcome === "alone" || outcome === "in line") {
      if (performance.now() > patienceEnds) throw serviceBusy();
      outcome = await (outcome === "alone" ? runAlone : inLine)(organizationId, command);
    }
    if (outcome === undefined) throw withoutAnswer();
    return (await outcome()) as Answered<A>;
  };
}

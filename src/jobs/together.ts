import { serviceBusy } from "../domain/batch-job-error.ts";
import { isUuid } from "../domain/job-id.ts";
import { insertJobs } from "../postgres/batch-jobs.ts";
import { lockForCommands, writeCommands } from "../postgres/commands.ts";
import type { Shares } from "../postgres/connections.ts";
import { isPostgresBusy, isPostgresUnavailable } from "../postgres/database.ts";
import { coalesceByKey } from "../timing/coalesce.ts";
import { type CommandRequest, keyOfRequest } from "./command.ts";
import { type Decision, type InHand, type Verdict, type View, judge } from "./judgement.ts";
import type { Answered, DoRedisHalves, RedisHalf } from "./redis-halves.ts";

type Steps<A> = {
  readonly rpc: string;
  /** The job that is named, if it is a command on one. */
  readonly batchJobId?: string;
  /** Judges the command; may be called again. */
  readonly decide: (view: View) => Decision<A>;
  readonly redisHalf: (answer: A) => RedisHalf;
};

/** Somebody has taken a request id since it was looked up. */
class RequestIdTaken extends Error {}

const withoutAnswer = () => new Error("a command was left without an answer");

/**
 * So many commands share a transaction, and so many transactions of an organization go on at once. With 64 in flight these
 * keep service and Postgres both at work; one transaction of all of them does half as many a second, since each waits for
 * the other then. Leases and reports have as many connections left.
 */
const mostTogether = 32;
const transactions = 2;

/** An id that is taken while its command is judged is found by the second try, unless it expires just then. */
const tries = 3;

/** What a command comes to: what gives its answer or its refusal, or that it is to be tried alone. */
type Outcome = (() => Promise<Answered<object>>) | "alone";

/** The error is none that a command by itself would be spared. */
const isOfAll = (error: unknown): boolean => isPostgresUnavailable(error) && !isPostgresBusy(error);

/**
 * Runs commands that write no contacts. Those of one organization that are in hand together share a transaction: it locks
 * their jobs, each is judged in the order in which they came, and all are written at once; then their Redis halves are done.
 * Each is answered by itself. A command on a job that somebody else has locked goes on alone, and so does each if the
 * transaction fails as a whole.
 *
 * With a request id the answer is kept in the same transaction, and a repetition is answered with it.
 */
export function createTogether(deps: { shares: Shares; doRedisHalves: DoRedisHalves }) {
  const { shares, doRedisHalves } = deps;

  /** Judges commands in one transaction, and writes what they come to. */
  async function decide(
    organizationId: number,
    commands: readonly InHand[],
    { waits }: { waits: boolean },
  ): Promise<readonly Verdict[]> {
    return await shares
      .of(organizationId)
      .transaction()
      .execute(async (trx) => {
        const jobIds = [...new Set(commands.flatMap(({ jobId }) => jobId ?? []))];
        const requests = commands.flatMap(({ key }) => key ?? []);
        const situation = await lockForCommands(trx, organizationId, { jobIds, requests, waits });
        const { verdicts, created, ...written } = judge(commands, situation);
        await insertJobs(trx, created);
        const { changed: jobs, deletedIds, answers } = written;
        if (jobs.length + deletedIds.length + answers.length > 0) {
          const { now } = situation;
          const isKept = await writeCommands(trx, organizationId, { now, jobs, deletedIds, answers });
          if (!isKept) throw new RequestIdTaken();
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
          return "alone";
        case "refused":
          return () => Promise.reject(verdict.refusal);
        case "answered":
          return () => Promise.resolve({ ...verdict.answer, entryRemoved: verdict.entryRemoved });
        case "done":
          return () => answerOf.get(verdict.command) ?? Promise.reject(withoutAnswer());
      }
    });
  }

  async function runTogether(organizationId: number, commands: readonly InHand[]): Promise<Outcome[]> {
    let verdicts: readonly Verdict[];
    try {
      verdicts = await decide(organizationId, commands, { waits: false });
    } catch (error) {
      if (isOfAll(error)) throw error;
      return commands.map(() => "alone");
    }
    return settle(organizationId, verdicts);
  }

  /** Waits for its job. */
  async function runAlone(organizationId: number, command: InHand): Promise<Outcome | undefined> {
    for (let left = tries; left > 0; left -= 1) {
      try {
        const [outcome] = settle(organizationId, await decide(organizationId, [command], { waits: true }));
        return outcome;
      } catch (error) {
        if (!(error instanceof RequestIdTaken)) throw error;
      }
    }
    throw serviceBusy();
  }

  const inHand = coalesceByKey(runTogether, mostTogether, transactions);

  return async function run<A extends object>(
    request: CommandRequest,
    steps: Steps<A>,
  ): Promise<Answered<A>> {
    const { organizationId } = request.caller;
    const { batchJobId = "" } = steps;
    const command: InHand = {
      key: keyOfRequest(request, steps.rpc),
      jobId: isUuid(batchJobId) ? batchJobId.toLowerCase() : undefined,
      decide: steps.decide,
      redisHalf: (answer) => steps.redisHalf(answer as A),
    };
    let outcome: Outcome | undefined = await inHand(organizationId, command);
    if (outcome === "alone") outcome = await runAlone(organizationId, command);
    if (outcome === "alone" || outcome === undefined) throw withoutAnswer();
    return (await outcome()) as Answered<A>;
  };
}

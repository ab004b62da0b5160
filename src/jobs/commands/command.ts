import type { CallTrace } from "../../domain/call-trace.ts";
import type { Caller } from "../../domain/caller.ts";
import { serviceBusy } from "../../domain/batch-job-error.ts";
import type { By, Tell } from "../../domain/event.ts";
import { isUuid } from "../../domain/jobs/job-id.ts";
import type { Trx } from "../../postgres/jobs/batch-jobs.ts";
import type { Shares } from "../../postgres/connections/connections.ts";
import { telling } from "../../postgres/events/events.ts";
import { afterJob, lockFreeJobs, lockPatienceMs } from "../../postgres/jobs/locks.ts";
import { type RequestKey, claimRequest, keepAnswer } from "../../postgres/jobs/requests.ts";
import { createTurnsByKey } from "../../timing/turns.ts";
import type { Answered, DoRedisHalves, RedisHalf } from "./redis-halves.ts";

/** What every command carries: who asks, and what makes it safe to repeat. */
export type CommandRequest = {
  readonly caller: Caller;
  /** Empty if the command need not be safe to repeat. */
  readonly requestId: string;
  /** A hash of everything that was asked. */
  readonly fingerprint: () => Buffer;
  /** The span of the call, where it is traced. */
  readonly trace?: CallTrace | undefined;
};

/** Who asks, as it is told. */
export const byOf = ({ caller, requestId }: Pick<CommandRequest, "caller" | "requestId">): By => ({
  actor: { apiKeyId: caller.apiKeyId },
  requestId,
});

/** What makes the request safe to repeat; undefined if it need not be. */
export const keyOfRequest = (request: CommandRequest, rpc: string): RequestKey | undefined =>
  request.requestId === ""
    ? undefined
    : {
        organizationId: request.caller.organizationId,
        rpc,
        requestId: request.requestId,
        fingerprint: request.fingerprint(),
      };

type Steps<A> = {
  readonly rpc: string;
  /** The job that it locks, if it is one that may be locked by others. */
  readonly jobId?: string;
  /** Checks, writes, and tells of what it has done; a refusal rolls everything back. */
  readonly decide: (trx: Trx, tell: Tell) => Promise<A>;
  readonly redisHalf: (answer: A) => RedisHalf;
};

/** Rolls back what cannot go on for now. */
class KeptOut extends Error {
  override name = "KeptOut";
}

/**
 * Runs commands that write contacts: each decides and writes in a transaction of its own, then does its Redis half.
 * Those on a job that somebody else has locked come one after the other: one connection waits for it.
 *
 * With a request id the answer is kept in the same transaction, and a repetition is answered with it.
 */
export function createCommandRunner(deps: { shares: Shares; doRedisHalves: DoRedisHalves }) {
  const { shares, doRedisHalves } = deps;
  const inTurnOf = createTurnsByKey<string>();

  /** Does the work with the job, if there is one, once it is to be had; `checkFree` is to be called before it is. */
  async function whenFree<T>(
    organizationId: number,
    jobId: string,
    work: (trx: Trx, checkFree: () => Promise<void>) => Promise<T>,
  ): Promise<T> {
    const db = shares.of(organizationId);
    if (!isUuid(jobId)) return await db.transaction().execute((trx) => work(trx, async () => {}));
    const unlessHeld = (trx: Trx) =>
      work(trx, async () => {
        const { held } = await lockFreeJobs(trx, organizationId, [jobId]);
        if (held.size > 0) throw new KeptOut("somebody else has locked the job");
      });
    const patienceEnds = performance.now() + lockPatienceMs;
    try {
      return await db.transaction().execute(unlessHeld);
    } catch (error) {
      if (!(error instanceof KeptOut)) throw error;
    }
    const inTurn = async (): Promise<T> => {
      // Those before it may have waited for long.
      if (performance.now() > patienceEnds) throw serviceBusy();
      return await afterJob(db, organizationId, jobId, unlessHeld);
    };
    for (;;) {
      try {
        return await inTurnOf(jobId, inTurn);
      } catch (error) {
        if (!(error instanceof KeptOut)) throw error;
      }
    }
  }

  return async function run<A extends object>(
    request: CommandRequest,
    steps: Steps<A>,
  ): Promise<Answered<A>> {
    const { organizationId } = request.caller;
    const db = shares.of(organizationId);
    const key = keyOfRequest(request, steps.rpc);

    const { answer, entryRemoved } = await whenFree(
      organizationId,
      steps.jobId ?? "",
      async (trx, checkFree) => {
        const kept = key && (await claimRequest(trx, key));
        if (kept !== undefined) return { answer: kept.answer as A, entryRemoved: kept.entryRemoved };
        await checkFree();
        const decided = await telling(trx, organizationId, async (tell) => {
          const made = await steps.decide(trx, tell);
          if (key !== undefined) await keepAnswer(trx, key, made);
          return made;
        });
        return { answer: decided, entryRemoved: null };
      },
    );
    if (entryRemoved !== null) return { ...answer, entryRemoved };
    const [answered] = doRedisHalves(db, organizationId, [
      { key, answer, redisHalf: steps.redisHalf(answer) },
    ]);
    return { ...answer, entryRemoved: (await answered)?.entryRemoved ?? false };
  };
}

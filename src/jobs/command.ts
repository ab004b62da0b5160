import type { CallTrace } from "../domain/call-trace.ts";
import type { Caller } from "../domain/caller.ts";
import type { Trx } from "../postgres/batch-jobs.ts";
import type { Shares } from "../postgres/connections.ts";
import { type RequestKey, claimRequest, keepAnswer } from "../postgres/requests.ts";
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

/** Who asks, as it is recorded. */
export const byOf = ({ caller, requestId }: Pick<CommandRequest, "caller" | "requestId">) => ({
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
  /** Checks and writes; a refusal rolls everything back. */
  readonly decide: (trx: Trx) => Promise<A>;
  readonly redisHalf: (answer: A) => RedisHalf;
};

/**
 * Runs commands that write contacts: each decides and writes in a transaction of its own, then does its Redis half.
 *
 * With a request id the answer is kept in the same transaction, and a repetition is answered with it.
 */
export function createCommandRunner(deps: { shares: Shares; doRedisHalves: DoRedisHalves }) {
  const { shares, doRedisHalves } = deps;

  return async function run<A extends object>(
    request: CommandRequest,
    steps: Steps<A>,
  ): Promise<Answered<A>> {
    const { organizationId } = request.caller;
    const db = shares.of(organizationId);
    const key = keyOfRequest(request, steps.rpc);

    const { answer, entryRemoved } = await db.transaction().execute(async (trx) => {
      const kept = key && (await claimRequest(trx, key));
      if (kept !== undefined) return { answer: kept.answer as A, entryRemoved: kept.entryRemoved };
      const decided = await steps.decide(trx);
      if (key !== undefined) await keepAnswer(trx, key, decided);
      return { answer: decided, entryRemoved: null };
    });
    if (entryRemoved !== null) return { ...answer, entryRemoved };
    const [answered] = doRedisHalves(db, organizationId, [
      { key, answer, redisHalf: steps.redisHalf(answer) },
    ]);
    return { ...answer, entryRemoved: (await answered)?.entryRemoved ?? false };
  };
}

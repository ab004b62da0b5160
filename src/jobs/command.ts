import type { Logger } from "pino";
import type { Caller } from "../domain/caller.ts";
import type { FanOut } from "../starting/fan-out.ts";
import type { Trx } from "../postgres/batch-jobs.ts";
import type { Shares } from "../postgres/connections.ts";
import { type RequestKey, claimRequest, keepAnswer, keepEntryRemoved } from "../postgres/requests.ts";
import type { JobKey } from "../redis/keys.ts";

/** What every command carries: who asks, and what makes it safe to repeat. */
export type CommandRequest = {
  readonly caller: Caller;
  /** Empty if the command need not be safe to repeat. */
  readonly requestId: string;
  /** A hash of everything that was asked. */
  readonly fingerprint: () => Buffer;
};

/** A command's answer: plain data, kept as JSON, and whether the command took an entry out of the schedule. */
export type Answered<A> = A & { readonly entryRemoved: boolean };

type Steps<A> = {
  readonly rpc: string;
  /** Checks and writes; a refusal rolls everything back. */
  readonly decide: (trx: Trx) => Promise<A>;
  /** Brings Redis in line, after the commit; may be repeated. True if it took an entry out of the schedule. */
  readonly redisHalf: (answer: A) => Promise<boolean>;
  /** The running job, if the command gave it contacts to put on its list. */
  readonly toFanOut?: (answer: A) => JobKey | undefined;
};

/** The time that a command gives its Redis half and the fan-out, together, before it answers all the same. */
const redisHalfMs = 250;

/** Resolves to undefined if the promise takes longer. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const { promise: timeout, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, ms, undefined);
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs commands: each decides and writes in one transaction, then does its Redis half. What a crash or Redis being
 * away leaves undone of that half is done by the sweep, or by a repetition of the command.
 *
 * With a request id the answer is kept in the same transaction, and a repetition is answered with it.
 */
export function createCommandRunner(deps: { shares: Shares; fanOut: FanOut; logger: Logger }) {
  const { shares, fanOut, logger } = deps;

  return async function run<A extends object>(
    request: CommandRequest,
    steps: Steps<A>,
  ): Promise<Answered<A>> {
    const { caller, requestId } = request;
    const { rpc } = steps;
    const db = shares.of(caller.organizationId);
    const key: RequestKey | undefined =
      requestId === ""
        ? undefined
        : { organizationId: caller.organizationId, rpc, requestId, fingerprint: request.fingerprint() };

    const { answer, entryRemoved } = await db.transaction().execute(async (trx) => {
      const kept = key && (await claimRequest(trx, key));
      if (kept !== undefined) return { answer: kept.answer as A, entryRemoved: kept.entryRemoved };
      const decided = await steps.decide(trx);
      if (key !== undefined) await keepAnswer(trx, key, decided);
      return { answer: decided, entryRemoved: null };
    });
    if (entryRemoved !== null) return { ...answer, entryRemoved };

    const leave = (error: unknown) => {
      logger.warn({ err: error, rpc }, "the Redis half of a command is left to the sweep");
      return undefined;
    };
    const half = steps.redisHalf(answer).catch(leave);
    const job = steps.toFanOut?.(answer);
    // The fan-out follows the Redis half even if the answer does not wait for either.
    const fannedOut = half.then((removed) =>
      removed === undefined || job === undefined ? undefined : fanOut.run(job),
    );
    const began = performance.now();
    const removed = await within(redisHalfMs, half);
    if (removed === undefined) return { ...answer, entryRemoved: false };
    await within(Math.max(0, redisHalfMs - (performance.now() - began)), fannedOut);
    if (key !== undefined) await keepEntryRemoved(db, key, removed).catch(leave);
    return { ...answer, entryRemoved: removed };
  };
}

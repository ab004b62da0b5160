import type { DescMethod } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { type BatchJobError, databaseUnavailable } from "./domain/batch-job-error.ts";
import { jittered, startLoop } from "./loop.ts";
import { databaseNow } from "./postgres/batch-jobs.ts";
import { openDatabase } from "./postgres/database.ts";

/** Whether Postgres answers, found out on a connection of its own, so that no work in hand can hold it up. */
export type Pulse = AsyncDisposable & {
  /** Asks Postgres now; false if it does not answer within a second. */
  beat(): Promise<boolean>;
  /** The work, or `unavailable` as soon as Postgres is known not to answer; the work goes on all the same. */
  guard<T>(work: () => Promise<T>): Promise<T>;
  /** Calls back each time that Postgres is found not to answer any more. */
  onLost(callback: (error: BatchJobError) => void): void;
};

/** With the patience, how long a caller waits at most for an answer of Postgres that does not come. */
const pauseMs = 250;
const patienceMs = 1_000;

export async function startPulse(databaseUrl: string): Promise<Pulse> {
  const db = openDatabase({ url: databaseUrl, poolSize: 1, queryTimeoutMs: patienceMs });
  await databaseNow(db);
  let isBeating = true;
  const waiting = new Set<(error: BatchJobError) => void>();
  const listeners = new Set<(error: BatchJobError) => void>();

  async function beat(): Promise<boolean> {
    const was = isBeating;
    isBeating = await databaseNow(db).then(
      () => true,
      () => false,
    );
    if (was && !isBeating) {
      for (const reject of [...listeners, ...waiting]) reject(databaseUnavailable());
    }
    return isBeating;
  }

  const beating = startLoop(async () => {
    await beat();
    return jittered(pauseMs);
  });

  return {
    beat,
    async guard(work) {
      if (!isBeating) throw databaseUnavailable();
      const { promise: lost, reject } = Promise.withResolvers<never>();
      waiting.add(reject);
      try {
        return await Promise.race([work(), lost]);
      } finally {
        waiting.delete(reject);
      }
    },
    onLost: (callback) => void listeners.add(callback),
    async [Symbol.asyncDispose]() {
      await beating[Symbol.asyncDispose]();
      await db.destroy();
    },
  };
}

/** Answers calls that have one answer as soon as Postgres is known not to answer. */
export const pulseInterceptor =
  (pulse: Pulse): Interceptor =>
  (next) =>
  (request) =>
    isStreamOfAnswers(request.method) ? next(request) : pulse.guard(() => next(request));

const isStreamOfAnswers = ({ methodKind }: DescMethod): boolean =>
  methodKind === "server_streaming" || methodKind === "bidi_streaming";

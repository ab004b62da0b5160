import { setTimeout as delay } from "node:timers/promises";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import type { DescMethod } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import type { Logger } from "pino";
import { coalesce } from "../timing/coalesce.ts";
import { type BatchJobError, databaseUnavailable, writesUnavailable } from "../domain/batch-job-error.ts";
import { jittered } from "../timing/loop.ts";
import { startServiceLoop } from "./loops.ts";
import { patiently } from "../timing/patience.ts";
import { databaseNow } from "../postgres/jobs/batch-jobs.ts";
import type { Database } from "../postgres/connections/database.ts";
import { isReadTimeout } from "../postgres/connections/sessions.ts";
import { type WriteProbe, probeWrites } from "../postgres/connections/write-probe.ts";

/** What Postgres does: everything, or reads only, since its commits do not end, or nothing. */
export type Finding = "answers" | "hangs commits" | "silent";

/**
 * Whether Postgres answers, found out on a connection of its own, so that no work in hand can hold it up, and in time
 * that this process lived through, so that no stall of its own looks like silence.
 */
export type Pulse = AsyncDisposable & {
  /**
   * Asks Postgres; those who ask at the same time, or soon after each other, share an answer that was asked for later.
   */
  beat(): Promise<Finding>;
  /** What was found last. */
  finding(): Finding;
  /** The work, or `unavailable` as soon as Postgres is known not to answer; the work goes on all the same. */
  guard<T>(work: () => Promise<T>): Promise<T>;
  /** The same for work that writes: also as soon as commits are known not to end. */
  guardWrites<T>(work: () => Promise<T>): Promise<T>;
  /** Says that a commit takes long. Only then is one tried. */
  suspectCommits(): void;
  /** Throws `unavailable` while commits are known not to end. */
  checkCommits(): void;
  /** Calls back each time that Postgres is found not to answer any more. */
  onLost(callback: (error: BatchJobError) => void): void;
  /** Calls back each time that Postgres, which answers, is found not to end commits any more. */
  onWritesLost(callback: (error: BatchJobError) => void): void;
};

/** With the patience, how long a caller waits at most for an answer of Postgres that does not come. */
const pauseMs = 250;
const patienceMs = 800;

/** Postgres is asked no more often, however many want to know. */
const leastPauseMs = 100;

/** A commit that takes longer, after another took long, does not end. */
const commitPatienceMs = 700;

type Watch = {
  isLost: boolean;
  readonly toError: () => BatchJobError;
  readonly waiting: Set<(error: BatchJobError) => void>;
  readonly listeners: Set<(error: BatchJobError) => void>;
};

const createWatch = (toError: () => BatchJobError): Watch => ({
  isLost: false,
  toError,
  waiting: new Set(),
  listeners: new Set(),
});

function note(watch: Watch, isLost: boolean): void {
  const isNew = isLost && !watch.isLost;
  watch.isLost = isLost;
  if (isNew) for (const tell of [...watch.listeners, ...watch.waiting]) tell(watch.toError());
}

/** The work, or the error of the first of the watches that has lost what it watches. */
async function guarded<T>(watches: readonly Watch[], work: () => Promise<T>): Promise<T> {
  const lostOne = watches.find(({ isLost }) => isLost);
  if (lostOne !== undefined) throw lostOne.toError();
  const { promise: lost, reject } = Promise.withResolvers<never>();
  for (const { waiting } of watches) waiting.add(reject);
  try {
    return await Promise.race([work(), lost]);
  } finally {
    for (const { waiting } of watches) waiting.delete(reject);
  }
}

const silent = () => new Error("Postgres is silent");

/** `db` has a connection that nothing else takes. */
export async function startPulse(db: Database, databaseUrl: string, logger: Logger): Promise<Pulse> {
  await databaseNow(db);
  const postgres = createWatch(databaseUnavailable);
  const commits = createWatch(writesUnavailable);
  const stop = new AbortController();
  let askedMs = -Infinity;
  let probe: WriteProbe | undefined;
  const giveUpProbe = () => probe?.[Symbol.dispose]();

  const finding = (): Finding => {
    if (postgres.isLost) return "silent";
    return commits.isLost ? "hangs commits" : "answers";
  };

  /** That one connection broke says nothing of Postgres; that no other can be made does. */
  const ask = () =>
    databaseNow(db).catch(async (error: unknown) => {
      if (isReadTimeout(error)) throw error;
      return await databaseNow(db);
    });

  const beat = coalesce<undefined, Finding>(async (asking) => {
    await delay(Math.max(0, askedMs + leastPauseMs - performance.now()));
    askedMs = performance.now();
    const answers = await patiently(patienceMs, ask(), silent).then(
      () => true,
      () => false,
    );
    note(postgres, !answers);
    // Its connection may be gone with the server, and it would not hear of that for long.
    if (!answers) giveUpProbe();
    return asking.map(finding);
  }, Infinity);

  const beating = startServiceLoop("the pulse of Postgres", {
    async pass() {
      await beat(undefined);
      return jittered(pauseMs);
    },
    retryMs: pauseMs,
    logger,
  });

  /** Tries one commit until it ends or fails; true if it ended. */
  async function tryCommit(): Promise<boolean> {
    using tried = probeWrites(databaseUrl);
    probe = tried;
    const hang = new Error("the commit hangs");
    try {
      await patiently(commitPatienceMs, tried.ended, () => hang);
    } catch (error) {
      if (error !== hang) return false;
      note(commits, true);
      // It is left where it is: Postgres would keep each one that is given up, with its connection.
      return await tried.ended.then(
        () => true,
        () => false,
      );
    }
    return true;
  }

  /** Tries commits until one ends, if one has hung; what fails at once fails for everybody, who see it themselves. */
  async function tryCommits(): Promise<void> {
    while (!(await tryCommit()) && commits.isLost && !stop.signal.aborted) await delay(jittered(pauseMs));
    note(commits, false);
  }
  let trying: Promise<void> | undefined;

  return {
    beat: () => beat(undefined),
    finding,
    guard: (work) => guarded([postgres], work),
    guardWrites: (work) => guarded([postgres, commits], work),
    suspectCommits() {
      trying ??= tryCommits().finally(() => (trying = undefined));
    },
    checkCommits() {
      if (commits.isLost) throw commits.toError();
    },
    onLost: (callback) => void postgres.listeners.add(callback),
    onWritesLost: (callback) => void commits.listeners.add(callback),
    async [Symbol.asyncDispose]() {
      stop.abort();
      giveUpProbe();
      await Promise.all([beating[Symbol.asyncDispose](), trying]);
    },
  };
}

/** Answers calls that have one answer as soon as Postgres is known not to answer, or not to end what they write. */
export const pulseInterceptor =
  (pulse: Pulse): Interceptor =>
  (next) =>
  (request) => {
    if (isStreamOfAnswers(request.method)) return next(request);
    const guard = isWrite(request.method) ? pulse.guardWrites : pulse.guard;
    return guard(() => next(request));
  };

const isStreamOfAnswers = ({ methodKind }: DescMethod): boolean =>
  methodKind === "server_streaming" || methodKind === "bidi_streaming";

/** Health and reflection, which are not ours, write nothing. */
const isWrite = ({ parent, idempotency }: DescMethod): boolean =>
  parent.typeName.startsWith("callsheet.") && idempotency !== Idempotency.NO_SIDE_EFFECTS;

import type { Logger } from "pino";
import { noteEntriesRemoved } from "../../postgres/jobs/commands.ts";
import type { BatchJob } from "../../domain/jobs/batch-job.ts";
import type { Database } from "../../postgres/connections/database.ts";
import type { RequestKey } from "../../postgres/jobs/requests.ts";
import type { ContactList } from "../../redis/contact-list.ts";
import type { JobKey } from "../../redis/keys.ts";
import type { Entry, Schedule } from "../../redis/schedule.ts";
import type { FanOut } from "../../starting/fan-out.ts";
import type { Openings, Woken } from "../../starting/openings.ts";
import { patiently } from "../../timing/patience.ts";

/** What a command is to do in Redis once it is committed; it may be done again. */
export type RedisHalf = {
  /** The entry to put on the schedule. */
  readonly put?: Entry;
  /** The entry to take off the schedule. */
  readonly takeOff?: string | null;
  readonly list?: ListChange;
  /** The job that has other hours now. */
  readonly wake?: Woken;
};

type ListChange =
  /** The job runs for the first time, and has so many contacts. */
  | {
      readonly change: "begin";
      readonly key: JobKey;
      readonly revision: number;
      readonly totalContacts: number;
      readonly zoneSets: number | undefined;
    }
  /** The job runs again. */
  | {
      readonly change: "create";
      readonly key: JobKey;
      readonly revision: number;
      readonly zoneSets: number | undefined;
    }
  /** The job runs, and was given more contacts. */
  | { readonly change: "go on"; readonly key: JobKey }
  /** The job does not run any more. */
  | {
      readonly change: "unlink";
      readonly key: JobKey;
      readonly revision: number;
      readonly zoneSets: number | undefined;
    };

/** What an addition of contacts leaves to do: nothing, unless its job runs. */
type ToGoOn = {
  readonly toFanOut: JobKey | null;
  /** How many sets of time zones it has, if it has new ones. */
  readonly newZoneSets?: number | undefined;
};

/** What is to be done for a job that has been given contacts, by how it was before and is after that. */
export function toGoOn(before: BatchJob, { id, organizationId, totalContacts, zoneSets }: BatchJob): ToGoOn {
  if (before.status !== "running" || totalContacts === before.totalContacts) return { toFanOut: null };
  return {
    toFanOut: { id, organizationId },
    ...(zoneSets > before.zoneSets ? { newZoneSets: zoneSets } : {}),
  };
}

export const goOn = ({ toFanOut: key, newZoneSets }: ToGoOn): RedisHalf =>
  key === null
    ? {}
    : {
        list: { change: "go on", key },
        ...(newZoneSets === undefined ? {} : { wake: { key, zoneSets: newZoneSets } }),
      };

/** A command that is committed. */
export type Committed = {
  /** Undefined if it need not be safe to repeat. */
  readonly key: RequestKey | undefined;
  readonly answer: object;
  readonly redisHalf: RedisHalf;
};

/** A command's answer: plain data, kept as JSON, and whether the command took an entry out of the schedule. */
export type Answered<A> = A & { readonly entryRemoved: boolean };

/** A Redis half that is done, and the fan-out that goes on. */
type Done = { readonly entryRemoved: boolean; readonly fanOut: Promise<void> | undefined };

/**
 * Does the Redis halves of committed commands of one organization; answers the answer of each, which comes when its
 * half and its fan-out are done, or take too long. What a crash or Redis being away leaves undone is done by the
 * sweep, or by a repetition of the command.
 */
export type DoRedisHalves = (
  db: Database,
  organizationId: number,
  commands: readonly Committed[],
) => Promise<Answered<object>>[];

/** The time that commands give their Redis halves and the fan-out, together, before they answer all the same. */
const redisHalfMs = 250;

/**
 * For so long an answer waits until it is noted that its half is done: without the note a repetition does the half
 * again, and finds no entry to take off.
 */
const notePatienceMs = 1_500;

const isNotNoted = () => new Error("Postgres has not noted in time that a Redis half is done");

/** The time that is left for something; `over` is told once it is not waited for any more. */
function startTime(ms: number) {
  const { promise: isOver, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, ms, undefined);
  return {
    /** Resolves to undefined if the promise takes longer. */
    within: <T>(promise: Promise<T>): Promise<T | undefined> => Promise.race([promise, isOver]),
    over: () => clearTimeout(timer),
  };
}

export function createRedisHalves(deps: {
  schedule: Schedule;
  contactList: ContactList;
  fanOut: FanOut;
  openings: Pick<Openings, "wake">;
  logger: Logger;
}): DoRedisHalves {
  const { schedule, contactList, fanOut, openings, logger } = deps;

  const leave = (error: unknown): undefined => {
    logger.warn({ err: error }, "the Redis half of a command is left to the sweep");
  };

  /** Answers the fan-out, which follows even if nobody waits for it. */
  async function changeList(
    list: ListChange,
    begun: ReturnType<FanOut["begin"]>,
  ): Promise<{ fanOut: Promise<void> | undefined }> {
    switch (list.change) {
      case "begin": {
        const rest = (await begun).get(list.key.id);
        if (rest === undefined) throw new Error("a list was not begun");
        return { fanOut: rest };
      }
      case "create":
        await contactList.create({ ...list.key, zoneSets: list.zoneSets }, list.revision);
        return { fanOut: fanOut.run(list.key) };
      case "go on":
        return { fanOut: fanOut.run(list.key) };
      case "unlink":
        await contactList.unlink({ ...list.key, zoneSets: list.zoneSets }, list.revision);
        return { fanOut: undefined };
    }
  }

  /** All go out at once: one step for the schedule, one for the lists that are begun, and what is rare by itself. */
  function doAll(halves: readonly RedisHalf[]): Promise<Done>[] {
    const put = halves.flatMap((half) => half.put ?? []);
    const takeOff = halves.flatMap((half) => half.takeOff ?? []);
    const changed = put.length + takeOff.length === 0 ? new Set<string>() : schedule.change({ put, takeOff });
    const begun = fanOut.begin(halves.flatMap(({ list }) => (list?.change === "begin" ? [{ ...list }] : [])));
    return halves.map(async (half) => {
      const isScheduled = half.put !== undefined || typeof half.takeOff === "string";
      const [removed, list] = await Promise.all([
        isScheduled ? changed : new Set<string>(),
        half.list && changeList(half.list, begun),
      ]);
      return {
        entryRemoved: typeof half.takeOff === "string" && removed.has(half.takeOff),
        fanOut: list?.fanOut,
      };
    });
  }

  return function doRedisHalves(db, organizationId, commands) {
    if (commands.length === 0) return [];
    const time = startTime(redisHalfMs);
    const halves = doAll(commands.map(({ redisHalf }) => redisHalf)).map((half) => half.catch(leave));
    // Nobody waits for it.
    void openings.wake(
      commands.flatMap(({ redisHalf: { list, wake } }) =>
        list?.change === "begin" || list?.change === "create" ? [list] : (wake ?? []),
      ),
    );
    async function note(): Promise<(Done | undefined)[]> {
      const done = await Promise.all(halves.map(time.within));
      const repeatable = commands.flatMap(({ key }, i) => {
        const half = done[i];
        return key === undefined || half === undefined ? [] : [{ key, removed: half.entryRemoved }];
      });
      const noting = noteEntriesRemoved(db, organizationId, repeatable);
      await patiently(notePatienceMs, noting, isNotNoted).catch(leave);
      return done;
    }
    const noted = note();
    const answers = commands.map(async ({ answer }, i) => {
      const half = (await noted)[i];
      if (half === undefined) return { ...answer, entryRemoved: false };
      if (half.fanOut !== undefined) await time.within(half.fanOut);
      return { ...answer, entryRemoved: half.entryRemoved };
    });
    void Promise.all(answers).then(time.over);
    return answers;
  };
}

import type { Random } from "../support/random.ts";
import { runCampaign } from "./campaign.ts";
import { createInsist } from "./insist.ts";
import type { System } from "./system.ts";
import { startWorkers } from "./workers.ts";

/** A mixed load until it is disposed of, which waits until every job is over and every worker is done. */
export type Load = AsyncDisposable & {
  /** How many jobs are over. */
  finished(): number;
  calls(): number;
};

/** So many jobs at a time, each followed by another, and so many workers, who err if they are to. */
export function startLoad(
  system: System,
  options: {
    campaigns: number;
    workers: number;
    mostContacts?: number;
    errs?: boolean;
    /** False where replicas of the last release are there, which know nothing of what is new. */
    usesNew?: boolean;
  },
): Load {
  const { campaigns, workers: count, mostContacts = 20, errs = false, usesNew = true } = options;
  const insist = createInsist(system);
  const workers = startWorkers(system, insist, { count, errs });
  const stop = new AbortController();
  let finished = 0;

  async function runOneAfterTheOther(random: Random): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        await runCampaign(system, insist, { random, mostContacts, usesNew });
      } catch (error) {
        system.history.wrong.push(`a campaign gave up: ${String(error)}`);
      }
      finished += 1;
    }
  }

  const running = Promise.all(
    Array.from({ length: campaigns }, (_, i) => runOneAfterTheOther(system.randomOf(`campaign ${i}`))),
  );
  return {
    finished: () => finished,
    calls: workers.calls,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      await workers[Symbol.asyncDispose]();
    },
  };
}

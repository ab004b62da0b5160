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

/** So many jobs at a time, each followed by another, and so many workers. */
export function startLoad(
  system: System,
  options: { campaigns: number; workers: number; mostContacts?: number; callMs?: number },
): Load {
  const { campaigns, workers: count, mostContacts = 20, callMs = 40 } = options;
  const insist = createInsist(system);
  const workers = startWorkers(system, insist, { count, callMs });
  const stop = new AbortController();
  let finished = 0;

  async function runOneAfterTheOther(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        await runCampaign(system, insist, { mostContacts });
      } catch (error) {
        system.history.wrong.push(`a campaign gave up: ${String(error)}`);
      }
      finished += 1;
    }
  }

  const running = Promise.all(Array.from({ length: campaigns }, runOneAfterTheOther));
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

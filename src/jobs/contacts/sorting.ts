import type { Logger } from "pino";
import type { Database } from "../../postgres/connections/database.ts";
import { sortPhones } from "../../postgres/phones/sorted-phones.ts";
import { jittered } from "../../timing/loop.ts";
import { startServiceLoop } from "../../vitals/loops.ts";

const pauseMs = 3_000;

/** Sorts the phones of contacts that came with a file, or from another job, until disposed. */
export function startSorting({ db, logger }: { db: Database; logger: Logger }): AsyncDisposable {
  return startServiceLoop("the sorting of phones", {
    async pass() {
      const began = performance.now();
      // Half of the time is left to others.
      return (await sortPhones(db)) ? performance.now() - began : jittered(pauseMs);
    },
    retryMs: pauseMs,
    logger,
  });
}

import type { Logger } from "pino";
import type { Askers } from "../redis/askers.ts";
import { createRecent } from "../timing/recent.ts";
import type { LeaseRequest } from "./leasing.ts";

/** For how long after its call, and after what it waits, a worker counts as one that asks. */
const asksForMs = 60_000;

/** What was noted is not noted again for so long. */
const notedForMs = 5_000;

/** About 2 MB. */
const mostKept = 10_000;

/**
 * Notes in Redis that workers ask for contacts, so that it can be said of a job that none does. Nobody waits for it,
 * and while Redis is away nothing is noted.
 */
export function createAsking(askers: Askers, logger: Logger) {
  const noted = createRecent<string, number>(mostKept);

  return function noteAsking({ caller: { organizationId }, jobIds, waitMs }: LeaseRequest): void {
    const now = performance.now();
    const due = (jobIds.length === 0 ? [""] : jobIds)
      .map((id) => ({ id: id.toLowerCase(), name: `${organizationId} ${id.toLowerCase()}` }))
      .filter(({ name }) => (noted.get(name) ?? -Infinity) < now - notedForMs);
    if (due.length === 0) return;
    for (const { name } of due) noted.set(name, now);
    const ids = due.map(({ id }) => id).filter((id) => id !== "");
    askers.note(organizationId, ids, asksForMs + notedForMs + waitMs).catch((error: unknown) => {
      for (const { name } of due) noted.delete(name);
      logger.debug({ err: error }, "it could not be noted that a worker asks");
    });
  };
}

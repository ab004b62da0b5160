import { BatchJobError, wrongField } from "../domain/batch-job-error.ts";
import type { Caller } from "../domain/caller.ts";
import { type EventType, eventTypes, isForAdmins, readEventType } from "../domain/event.ts";
import { isUuid } from "../domain/jobs/job-id.ts";
import { pageSizeOf } from "../domain/page-size.ts";
import type { Shares } from "../postgres/connections/connections.ts";
import { type EventFilter, type EventPage, type Head, readEvents } from "../postgres/events/events.ts";

/** What a reader of the log asks for; of either list none means all. */
export type EventQuery = {
  readonly afterSequence: number;
  readonly types: readonly string[];
  readonly batchJobIds: readonly string[];
};

/** So many events are looked at for one page, however few of them are asked for. */
const mostLookedAt = 10_000;

/** No job has it. */
const nobody = "00000000-0000-0000-0000-000000000000";

/** What types this caller is told of, of those that it asks for; refused for one that is none, or is not for it. */
function readTypes({ role }: Caller, asked: readonly string[]): EventType[] {
  if (asked.length === 0 && role === "admin") return [];
  if (asked.length === 0) return eventTypes.filter((type) => !isForAdmins(type));
  return asked.map((given, i) => {
    const field = `types[${i}]`;
    const type = readEventType(given, field);
    if (role !== "admin" && isForAdmins(type)) {
      throw new BatchJobError(
        "permission_denied",
        `Events of the type ${type} are told to keys with the role admin only; leave the type out, or use such a key.`,
        { field, requiredRoles: "admin" },
      );
    }
    return type;
  });
}

/** What is asked for of the log, as this caller may see it. */
export function readFilter(caller: Caller, { types, batchJobIds }: EventQuery): EventFilter {
  const jobIds = batchJobIds.map((id) => (isUuid(id) ? id.toLowerCase() : nobody));
  return { types: readTypes(caller, types), batchJobIds: [...new Set(jobIds)] };
}

/** Refuses a place in the log of which nobody knows any more, or not yet, what comes after it. */
export function checkCursor(afterSequence: number, { sequence, firstSequence }: Head): void {
  if (afterSequence > sequence) {
    throw wrongField("after_sequence", `the log ends at ${sequence}; give a number up to that`, {
      headSequence: String(sequence),
    });
  }
  if (afterSequence === 0 || afterSequence >= firstSequence - 1) return;
  throw cursorExpired({ firstSequence });
}

/** The refusal of what is no longer kept. */
export const cursorExpired = ({ firstSequence }: Pick<Head, "firstSequence">): BatchJobError =>
  new BatchJobError(
    "cursor_expired",
    `Events before ${firstSequence} are no longer kept; look at the batch jobs themselves, then read on after 0.`,
    { firstSequence: String(firstSequence) },
  );

export const isFiltered = ({ types, batchJobIds }: EventFilter): boolean =>
  types.length > 0 || batchJobIds.length > 0;

/** How many events are looked at for a page of such a size. */
export const boundsOf = (filter: EventFilter, size: number) => ({
  size,
  mostLookedAt: isFiltered(filter) ? Math.max(size, mostLookedAt) : size,
});

/** The logs of organizations, page by page. */
export function createEventLog(deps: { reads: Shares }) {
  const { reads } = deps;
  return {
    async list(caller: Caller, query: EventQuery & { pageSize: number }): Promise<EventPage> {
      const { organizationId } = caller;
      const { pageSize } = query;
      // No log is that long, and Postgres has no room for what is longer.
      const afterSequence = Math.min(query.afterSequence, Number.MAX_SAFE_INTEGER);
      const filter = readFilter(caller, query);
      const size = pageSizeOf(pageSize);
      const db = reads.of(organizationId);
      const page = await readEvents(db, organizationId, afterSequence, filter, boundsOf(filter, size));
      checkCursor(afterSequence, page.head);
      return page;
    },
  };
}

export type EventLog = ReturnType<typeof createEventLog>;

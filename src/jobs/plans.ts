import type { BatchJob } from "../domain/jobs/batch-job.ts";
import { wrongField } from "../domain/batch-job-error.ts";
import type { Caller } from "../domain/caller.ts";
import type { Outcome } from "../domain/contacts/contact.ts";
import { withoutSuppressed } from "../domain/jobs/holds.ts";
import { type Plan, planOf } from "../domain/jobs/plan.ts";
import { databaseNow } from "../postgres/jobs/batch-jobs.ts";
import { findOrganization } from "../postgres/organizations.ts";
import { openInSets } from "../postgres/contacts/zone-sets.ts";
import { countSuppressed } from "../postgres/phones/suppressed-contacts.ts";
import type { Queries, Reads } from "./queries.ts";

/** What a plan assumes. */
export type Assumptions = {
  /** Undefined for the time that the job has, or now. */
  readonly startTime: Date | undefined;
  readonly callDurationMs: number;
  readonly outcomes: readonly { readonly outcome: Outcome; readonly share: number }[];
};

export type PlannedSet = { zones: readonly string[]; contacts: number; opensAtMs: number | undefined };
export type PlannedRun = Omit<Plan, "sets"> & {
  startMs: number;
  sets: PlannedSet[];
  neverCalled: number;
  /** Those whose phones are suppressed; they are in no set. */
  suppressed: number;
};

/** Of all attempts those that end so that the job tries again. */
function retriedShareOf({ retryOn }: BatchJob, { outcomes }: Assumptions): number {
  const all = outcomes.reduce((sum, { share }) => sum + share, 0);
  const names = new Set(outcomes.map(({ outcome }) => outcome));
  if (all > 1 + 1e-9 || names.size < outcomes.length) {
    throw wrongField(
      "assumed_outcomes",
      "each outcome must be there once, and the shares must add up to 1 at most",
    );
  }
  return Math.min(
    1,
    outcomes.reduce((sum, { outcome, share }) => sum + (retryOn.includes(outcome) ? share : 0), 0),
  );
}

const least = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? (a ?? b) : Math.min(a, b);

type OpenIn = Awaited<ReturnType<typeof openInSets>>[number];

/** Contacts that were given their zones and those whose numbers are there are in sets of their own. */
function byZones(sets: readonly OpenIn[]): OpenIn[] {
  const same = Map.groupBy(sets, ({ zones }) => zones.join(" "));
  return [...same.values()].flatMap(([first, ...others]) =>
    first === undefined ? [] : [others.reduce(added, first)],
  );
}

const added = (a: OpenIn, b: OpenIn): OpenIn => ({
  ...a,
  pending: a.pending + b.pending,
  waiting: a.waiting + b.waiting,
});

/** Plans runs of jobs by the rules that they have now; beside no other job. */
export function createPlans({
  reads,
  queries,
}: {
  reads: Reads;
  queries: Pick<Queries, "get" | "callingHours">;
}) {
  return async function plan(caller: Caller, batchJobId: string, assumed: Assumptions): Promise<PlannedRun> {
    const job = await queries.get(caller, batchJobId);
    const retriedShare = retriedShareOf(job, assumed);
    const db = reads.reads.of(caller.organizationId);
    const [hours, { settings }, now] = await Promise.all([
      queries.callingHours(job),
      findOrganization(db, caller.organizationId),
      databaseNow(db),
    ]);
    const open = job.finishedAt === null ? await openInSets(db, job) : [];
    const listed = open.length > 0 ? await countSuppressed(db, job) : [];
    const withoutListed = open.map((set) => withoutSuppressed(set, listed));
    const contactsIn = byZones(withoutListed.filter(({ pending, waiting }) => pending + waiting > 0));
    const asked = assumed.startTime ?? (job.status === "scheduled" ? job.scheduledStartTime : null);
    const startMs = Math.max(now.getTime(), asked?.getTime() ?? 0);
    const { sets, ...run } = planOf({
      startMs,
      sets: contactsIn,
      hours: [hours, settings.callingHours ?? undefined].filter((each) => each !== undefined),
      concurrentCallLimit: Math.min(job.concurrentCallLimit, settings.leaseLimit),
      rampUpMs: job.rampUpMs,
      ...(job.startedAt === null ? {} : { runsSinceMs: job.startedAt.getTime() }),
      ...(job.endAt === null ? {} : { endMs: job.endAt.getTime() }),
      callsPerSecond: least(job.callsPerSecond, settings.callsPerSecond),
      maxAttempts: job.maxAttempts,
      retryDelaysMs: job.retryDelaysMs,
      callDurationMs: assumed.callDurationMs,
      retriedShare,
    });
    const planned = sets.flatMap((set, i) => {
      const of = contactsIn[i];
      return of === undefined ? [] : [{ ...set, zones: of.zones, contacts: of.pending + of.waiting }];
    });
    return {
      ...run,
      startMs,
      sets: planned,
      suppressed: withoutListed.reduce((sum, set) => sum + set.suppressed, 0),
      neverCalled: planned.reduce((sum, set) => sum + (set.opensAtMs === undefined ? set.contacts : 0), 0),
    };
  };
}

export type PlanRun = ReturnType<typeof createPlans>;

import type { BatchJob } from "./batch-job.ts";
import type { ContactStatus } from "../contacts/contact.ts";

/** Why a contact that is open is not being called, the first that is so. */
export const holdReasons = [
  "suppressed",
  "not_started",
  "paused",
  "unknown_zone",
  "calling_hours",
  "retry_delay",
  "job_limit",
  "organization_limit",
  "pace",
  "no_worker",
] as const;

export type HoldReason = (typeof holdReasons)[number];

/** What keeps so many contacts of a job from being leased now, and until when where that is known. */
export type Hold = { readonly reason: HoldReason; readonly contacts: number; readonly until: Date | null };

/** Whether contacts in the same time zones may be called. */
type Open = {
  /** Whether their calling hours allow calls now. */
  readonly isOpen: boolean;
  /** When they allow them next, where that has been reckoned. */
  readonly opensAt: Date | null;
  /** False if nobody knows which zones these are. */
  readonly isKnown?: boolean;
};

/** Those of them that wait for a retry. */
type Retries = {
  /** How many have come due; they are not counted beyond some. */
  readonly dueRetries: number;
  readonly nextRetryAt: Date | null;
};

/** How many contacts of a job in the same time zones are pending, and wait for a retry. */
type InSet = { readonly zoneSet: number; readonly pending: number; readonly waiting: number };

/** Contacts of a job that are in the same time zones. */
export type SetAround = Open & Retries & InSet;

/** Those of them whose phones are suppressed. */
export type SuppressedInSet = InSet;

/** How things are around a running job. */
export type Surroundings = Open &
  Retries & {
    /** Its contacts by the sets of time zones that they are in, if there are several. */
    readonly sets?: readonly SetAround[] | undefined;
    /** How many more leases it may have. */
    readonly jobFree: number;
    /** When its growing limit allows one more. */
    readonly jobFreeAt: Date | null;
    /** How many more leases its organization may have. */
    readonly organizationFree: number;
    /** When its pace, and that of its organization, allow the next call; null if they do now. */
    readonly nextCallAt: Date | null;
    /** Whether a worker has asked for its contacts within a minute; undefined where nobody knows. */
    readonly hasWorker: boolean | undefined;
  };

type Why = Omit<Hold, "contacts">;

/** What holds the contacts that nothing of their own holds; undefined if they are being leased. */
function holdOfReady(around: Surroundings): Why | undefined {
  if (around.jobFree <= 0) return { reason: "job_limit", until: around.jobFreeAt };
  if (around.organizationFree <= 0) return { reason: "organization_limit", until: null };
  if (around.nextCallAt !== null) return { reason: "pace", until: around.nextCallAt };
  return around.hasWorker === false ? { reason: "no_worker", until: null } : undefined;
}

/** What holds contacts in time zones where no call is allowed now. */
function holdOfHours({ isOpen, isKnown = true, opensAt }: Open): Why | undefined {
  if (isOpen) return undefined;
  return isKnown ? { reason: "calling_hours", until: opensAt } : { reason: "unknown_zone", until: null };
}

/** What holds all contacts of a job, whatever holds each of them. */
function holdOfJob(job: BatchJob): Why | undefined {
  switch (job.status) {
    case "pending":
      return { reason: "not_started", until: null };
    case "scheduled":
      return { reason: "not_started", until: job.scheduledStartTime };
    case "paused":
      return { reason: "paused", until: job.resumeAt };
    case "running":
    case "completed":
    case "failed":
    case "cancelled":
      return undefined;
  }
}

/** The contacts of a set without those that are suppressed, and how many these are. */
export function withoutSuppressed<S extends InSet>(set: S, suppressed: readonly SuppressedInSet[]) {
  const own = suppressed.find(({ zoneSet }) => zoneSet === set.zoneSet);
  // They were counted at another time.
  const pending = Math.max(0, set.pending - (own?.pending ?? 0));
  const waiting = Math.max(0, set.waiting - (own?.waiting ?? 0));
  return { ...set, pending, waiting, suppressed: set.pending + set.waiting - pending - waiting };
}

/** Why contacts of the job are not being leased, each contact under one reason. */
export function holdsOf(
  job: BatchJob,
  around: Surroundings | undefined,
  suppressed: readonly SuppressedInSet[] = [],
): Hold[] {
  const { pending, waiting_retry: waiting } = job.counts;
  const whole = holdOfJob(job);
  if (whole !== undefined) {
    const open = pending + waiting;
    const among = suppressed.reduce((sum, set) => sum + set.pending + set.waiting, 0);
    const held = Math.min(open, among);
    return together([
      { reason: "suppressed", contacts: held, until: null },
      { ...whole, contacts: open - held },
    ]);
  }
  if (job.status !== "running" || around === undefined) return [];
  const why = holdOfReady(around);
  const sets = around.sets ?? [{ ...around, zoneSet: 0, pending, waiting }];
  return together(
    sets.flatMap((each): Hold[] => {
      const set = withoutSuppressed(each, suppressed);
      const listed = { reason: "suppressed" as const, contacts: set.suppressed, until: null };
      const closed = holdOfHours(set);
      if (closed !== undefined) return [listed, { ...closed, contacts: set.pending + set.waiting }];
      const due = Math.min(set.dueRetries, set.waiting);
      return [
        listed,
        { reason: "retry_delay" as const, contacts: set.waiting - due, until: set.nextRetryAt },
        ...(why === undefined ? [] : [{ ...why, contacts: set.pending + due }]),
      ];
    }),
  );
}

/** Each reason once, in their order, with all the contacts that are under it. */
function together(holds: readonly Hold[]): Hold[] {
  const byReason = Map.groupBy(
    holds.filter(({ contacts }) => contacts > 0),
    ({ reason }) => reason,
  );
  return holdReasons.flatMap((reason) => {
    const same = byReason.get(reason) ?? [];
    const untils = same.flatMap(({ until }) => until?.getTime() ?? []);
    const contacts = same.reduce((sum, hold) => sum + hold.contacts, 0);
    return contacts === 0
      ? []
      : [{ reason, contacts, until: untils.length === 0 ? null : new Date(Math.min(...untils)) }];
  });
}

/**
 * Why one contact of the job is not being leased, around which things are so in its time zones; undefined if nothing
 * holds it, or it is not open.
 */
export function holdOf(
  contact: { readonly status: ContactStatus; readonly nextAttemptAt: Date | null },
  job: BatchJob,
  around: Surroundings | undefined,
  now: Date,
): Hold | undefined {
  if (contact.status !== "pending" && contact.status !== "waiting_retry") return undefined;
  const why = holdOfJob(job) ?? (around && (holdOfHours(around) ?? holdOfOne(contact, around, now)));
  return why && { ...why, contacts: 1 };
}

function holdOfOne(
  { status, nextAttemptAt }: Parameters<typeof holdOf>[0],
  around: Surroundings,
  now: Date,
): Why | undefined {
  if (status === "waiting_retry" && nextAttemptAt !== null && nextAttemptAt > now) {
    return { reason: "retry_delay", until: nextAttemptAt };
  }
  return holdOfReady(around);
}

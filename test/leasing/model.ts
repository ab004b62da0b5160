import { expect } from "vitest";
import { type JobStatus, shownStatus } from "../../src/domain/jobs/batch-job.ts";
import type { Outcome, StoredContactStatus } from "../../src/domain/contacts/contact.ts";

export type ModelAttempt = { leaseId: string; outcome: Outcome | null; isReported: boolean; isLost: boolean };
export type ModelContact = { status: StoredContactStatus; isDue: boolean; attempts: ModelAttempt[] };
export type ModelJob = {
  id: string;
  status: JobStatus;
  failureReason: string | null;
  revision: number;
  limit: number;
  maxAttempts: number;
  retryOn: readonly Outcome[];
  /** A contact waits for a retry that it may not have any more, until the sweep looks. */
  isToJudge: boolean;
  /** The places in `zoneHours` of the zones in which calls are allowed; undefined for a job without hours. */
  openZones: readonly number[] | undefined;
  contacts: ModelContact[];
};

/** The hours of the day that it is now in the zones that contacts are in; in the first one is their job. */
export const zoneHours = [15, 3, 11, 19];

/** The place there of the zone of a contact of a job with hours. */
export const zonePlaceOf = (number: number): number => number % zoneHours.length;

type Place = { job: ModelJob; contact: ModelContact; attempt: ModelAttempt };
export type Given = { leaseId: string; jobId: string; number: number; attempt: number };
type Change = "start" | "pause" | "resume" | "cancel" | "add" | "update";

/** Where each command is allowed; none of the jobs here is scheduled. */
const allowed: Record<Change | "delete", readonly JobStatus[]> = {
  start: ["pending"],
  pause: ["running"],
  resume: ["paused"],
  cancel: ["pending", "running", "paused"],
  add: ["pending", "running", "paused"],
  update: ["pending", "running", "paused"],
  delete: ["pending", "paused", "completed", "failed", "cancelled"],
};

const open: ReadonlySet<StoredContactStatus> = new Set(["pending", "waiting_retry", "dialing"]);
export const aPendingContact = (): ModelContact => ({ status: "pending", isDue: false, attempts: [] });

export type Model = ReturnType<typeof createModel>;

/** What the leasing of one organization promises, in plain objects and one step at a time. */
export function createModel(organizationLimit: number) {
  const jobs = new Map<string, ModelJob>();
  const places = new Map<string, Place>();
  /** The leases of each request id, as its last call was answered. */
  const requests = new Map<string, readonly string[]>();

  /** Where a lease is, unless it was released or its job deleted. */
  function find(leaseId: string): Place | undefined {
    const place = places.get(leaseId);
    return place && jobs.has(place.job.id) && place.contact.attempts.includes(place.attempt)
      ? place
      : undefined;
  }

  const findLive = (leaseId: string): Place | undefined => {
    const place = find(leaseId);
    return place?.attempt.outcome === null ? place : undefined;
  };

  function finish(job: ModelJob): boolean {
    if (job.contacts.some(({ status }) => open.has(status))) return false;
    const isCompleted = job.contacts.some(({ status }) => status === "completed");
    job.status = isCompleted ? "completed" : "failed";
    job.failureReason = isCompleted ? null : "no_call_completed";
    job.revision += 1;
    return true;
  }

  const mayRetry = (job: ModelJob, { attempts }: ModelContact): boolean =>
    attempts.length < job.maxAttempts && job.retryOn.some((outcome) => outcome === attempts.at(-1)?.outcome);

  /** Ends the retries that the job does not allow. */
  function judgeRetries(job: ModelJob): void {
    job.isToJudge = false;
    if (!["running", "paused"].includes(job.status)) return;
    const waiting = job.contacts.filter(({ status }) => status === "waiting_retry");
    const givenUp = waiting.filter((contact) => !mayRetry(job, contact));
    for (const contact of givenUp) contact.status = contact.attempts.at(-1)?.outcome ?? "pending";
    if (givenUp.length > 0 && job.status === "running") finish(job);
  }

  function completeAfterAll(job: ModelJob): void {
    if (job.failureReason !== "no_call_completed") return;
    job.status = "completed";
    job.failureReason = null;
    job.revision += 1;
  }

  const finishAll = () => [...jobs.values()].filter(({ status }) => status === "running").map(finish);

  function end({ job, contact, attempt }: Place, outcome: Outcome): void {
    attempt.outcome = outcome;
    const goesOn = job.status === "running" || job.status === "paused";
    const isRetried = goesOn && job.retryOn.includes(outcome) && contact.attempts.length < job.maxAttempts;
    contact.status = isRetried ? "waiting_retry" : outcome;
    contact.isDue = false;
  }

  const release = (leaseIds: readonly string[]) =>
    leaseIds.map((leaseId) => {
      const { job, contact } = findLive(leaseId) ?? {};
      if (job === undefined || contact === undefined) return false;
      contact.attempts.pop();
      contact.status = contact.attempts.length === 0 ? "pending" : "waiting_retry";
      contact.isDue = true;
      if (contact.status === "waiting_retry" && !mayRetry(job, contact)) job.isToJudge = true;
      return true;
    });

  return {
    jobs,
    requests,
    organizationLimit,
    leaseIds: () => [...places.keys()],
    liveLeaseIds: () => [...places.keys()].filter((id) => findLive(id) !== undefined),

    allows: (command: Change | "delete", job: ModelJob): boolean =>
      allowed[command].includes(job.status) &&
      (command !== "delete" || job.contacts.every(({ status }) => status !== "dialing")),

    change(command: Change, job: ModelJob, added = 0): void {
      if (command === "resume" && finish(job)) return;
      job.revision += 1;
      job.contacts.push(...Array.from({ length: added }, aPendingContact));
      if (command === "start" || command === "resume") job.status = "running";
      if (command === "pause") job.status = "paused";
      if (command === "cancel") job.status = "cancelled";
    },

    /** The end of the job has come. */
    end(job: ModelJob): void {
      if (!["pending", "running", "paused"].includes(job.status)) return;
      const isCompleted = job.contacts.some(({ status }) => status === "completed");
      job.failureReason = isCompleted
        ? null
        : job.status === "pending"
          ? "start_missed"
          : "no_call_completed";
      job.status = isCompleted ? "completed" : "failed";
      job.revision += 1;
    },

    update(job: ModelJob, changes: Pick<ModelJob, "maxAttempts" | "retryOn">): void {
      const isNarrower =
        changes.maxAttempts < job.maxAttempts ||
        job.retryOn.some((outcome) => !changes.retryOn.includes(outcome));
      Object.assign(job, changes);
      job.revision += 1;
      if (isNarrower && job.contacts.some(({ status }) => status === "waiting_retry")) judgeRetries(job);
    },

    openZones(job: ModelJob, openZones: readonly number[]): void {
      job.openZones = openZones;
      job.revision += 1;
    },

    sweep(): void {
      for (const job of jobs.values()) if (job.isToJudge) judgeRetries(job);
    },

    /** Takes over leases that were given, and fails if they should not have been. */
    open(given: readonly Given[]): void {
      for (const { leaseId, jobId, number, attempt } of given) {
        const job = jobs.get(jobId);
        const contact = job?.contacts[number - 1];
        if (job === undefined || contact === undefined) throw new Error("a lease of no contact");
        const { status, isDue, attempts } = contact;
        const isOpen = job.openZones?.includes(zonePlaceOf(number)) ?? true;
        const isReady =
          status === "pending" || (status === "waiting_retry" && isDue && mayRetry(job, contact));
        const mayOpen = isOpen && isReady;
        const is = { status: job.status, mayOpen, attempt };
        expect(is).toEqual({ status: "running", mayOpen: true, attempt: attempts.length + 1 });
        const opened = { leaseId, outcome: null, isReported: false, isLost: false };
        attempts.push(opened);
        contact.status = "dialing";
        places.set(leaseId, { job, contact, attempt: opened });
      }
    },

    /** What each of the reports of one call is answered. */
    report(reports: readonly { leaseId: string; outcome: Outcome }[]) {
      const answers = reports.map(({ leaseId, outcome }) => {
        const place = find(leaseId);
        const isLast = place?.contact.attempts.at(-1) === place?.attempt;
        if (place === undefined || (!place.attempt.isReported && !isLast)) return { kind: "gone" };
        const { job, contact, attempt } = place;
        const kind = attempt.isReported ? "already_recorded" : "recorded";
        if (kind === "recorded") end(place, outcome);
        if (kind === "recorded" && outcome === "completed") completeAfterAll(place.job);
        attempt.isReported = true;
        return { kind, outcome: attempt.outcome, of: { contact, job, jobStatus: job.status } };
      });
      finishAll();
      // What a contact is after the call.
      return answers.map(({ of, ...answer }) =>
        of === undefined
          ? answer
          : { ...answer, contactStatus: shownStatus(of.contact.status, of.jobStatus) },
      );
    },

    lose: (leaseId: string) => Object.assign(findLive(leaseId)?.attempt ?? {}, { isLost: true }),

    expire(): void {
      const live = [...places.keys()].map(findLive).filter((place) => place !== undefined);
      for (const place of live.filter(({ attempt }) => attempt.isLost)) end(place, "unknown");
      finishAll();
    },

    release,

    /**
     * A repeat was answered with these in place of the leases that it takes over; those it has no room for are
     * released.
     */
    takeOver(old: readonly string[], taken: readonly Given[]): void {
      for (const { leaseId, jobId, number, attempt } of taken) {
        const contact = jobs.get(jobId)?.contacts[number - 1];
        const before = contact?.attempts.at(-1);
        expect(old).toContain(before?.leaseId);
        const job = jobs.get(jobId);
        if (job === undefined || contact === undefined) throw new Error("a lease of no contact");
        expect(attempt).toBe(contact.attempts.length);
        const opened = { leaseId, outcome: null, isReported: false, isLost: false };
        contact.attempts[attempt - 1] = opened;
        places.set(leaseId, { job, contact, attempt: opened });
      }
      release(old);
    },

    extends: (leaseId: string): boolean => findLive(leaseId)?.attempt.isLost === false,

    makeRetriesDue(): void {
      for (const job of jobs.values()) for (const contact of job.contacts) contact.isDue = true;
    },
  };
}

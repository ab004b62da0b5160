import { describe, expect, test } from "vitest";
import type { BatchJob, JobStatus } from "../../src/domain/jobs/batch-job.ts";
import { storedContactStatuses } from "../../src/domain/contacts/contact.ts";
import {
  type SetAround,
  type Surroundings,
  type SuppressedInSet,
  holdOf,
  holdsOf,
} from "../../src/domain/jobs/holds.ts";

const soon = new Date("2027-03-01T10:00:00Z");
const now = new Date("2027-03-01T09:00:00Z");

function job(
  status: JobStatus,
  counts: Partial<BatchJob["counts"]> = { pending: 5, waiting_retry: 3 },
): BatchJob {
  const none = Object.fromEntries(storedContactStatuses.map((each) => [each, 0]));
  return {
    status,
    scheduledStartTime: status === "scheduled" ? soon : null,
    resumeAt: null,
    counts: { ...none, ...counts },
  } as BatchJob;
}

const around = (fields: Partial<Surroundings> = {}): Surroundings => ({
  isOpen: true,
  opensAt: null,
  dueRetries: 0,
  nextRetryAt: soon,
  jobFree: 2,
  jobFreeAt: null,
  organizationFree: 10,
  nextCallAt: null,
  hasWorker: true,
  ...fields,
});

const one = (reason: string, until: Date | null = null, contacts = 1) => ({ reason, contacts, until });
const delayed = { reason: "retry_delay", contacts: 3, until: soon };

const inSet = (zoneSet: number, pending: number, waiting: number): SuppressedInSet => ({
  zoneSet,
  pending,
  waiting,
});
const listed = (contacts: number) => ({ reason: "suppressed", contacts, until: null });

describe("the contacts of a job are held", () => {
  test.each([
    ["until it is started", job("pending"), undefined, [{ reason: "not_started", contacts: 8, until: null }]],
    [
      "until its time comes",
      job("scheduled"),
      undefined,
      [{ reason: "not_started", contacts: 8, until: soon }],
    ],
    ["while it is paused", job("paused"), around(), [{ reason: "paused", contacts: 8, until: null }]],
    [
      "until it goes on by itself",
      { ...job("paused"), resumeAt: soon },
      undefined,
      [{ reason: "paused", contacts: 8, until: soon }],
    ],
    ["by their delays, and the others by nothing", job("running"), around(), [delayed]],
    [
      "by its limit, those that are due again too",
      job("running", { pending: 5, waiting_retry: 3, dialing: 2 }),
      around({ dueRetries: 1, jobFree: 0, hasWorker: false, organizationFree: 0, nextCallAt: soon }),
      [
        { ...delayed, contacts: 2 },
        { reason: "job_limit", contacts: 6, until: null },
      ],
    ],
    [
      "by the limit of its organization",
      job("running", { pending: 5, dialing: 1 }),
      around({ organizationFree: 0, hasWorker: false, nextCallAt: soon }),
      [{ reason: "organization_limit", contacts: 5, until: null }],
    ],
    [
      "while its hours are closed, whatever else",
      job("running"),
      around({ isOpen: false, opensAt: soon, jobFree: 0 }),
      [{ reason: "calling_hours", contacts: 8, until: soon }],
    ],
    [
      "until its limit has grown",
      job("running", { pending: 5, dialing: 1 }),
      around({ jobFree: -1, jobFreeAt: soon }),
      [{ reason: "job_limit", contacts: 5, until: soon }],
    ],
    [
      "by the pace",
      job("running", { pending: 5 }),
      around({ nextCallAt: soon, hasWorker: false }),
      [{ reason: "pace", contacts: 5, until: soon }],
    ],
    [
      "for want of a worker",
      job("running"),
      around({ hasWorker: false }),
      [delayed, { reason: "no_worker", contacts: 5, until: null }],
    ],
    [
      "by nothing that is known where nobody knows of workers",
      job("running"),
      around({ hasWorker: undefined }),
      [delayed],
    ],
    [
      "by no more than there are, whatever has come due meanwhile",
      job("running", { waiting_retry: 2 }),
      around({ dueRetries: 7, hasWorker: false }),
      [{ reason: "no_worker", contacts: 2, until: null }],
    ],
    ["by nothing where there are none", job("paused", {}), undefined, []],
    ["by nothing once it is completed", job("completed"), undefined, []],
    ["by nothing once it is cancelled", job("cancelled"), undefined, []],
  ])("%s", (_, of, surroundings, holds) => {
    expect(holdsOf(of, surroundings)).toEqual(holds);
  });

  const closed: SetAround = {
    ...inSet(1, 4, 1),
    isOpen: false,
    opensAt: soon,
    dueRetries: 0,
    nextRetryAt: null,
  };
  const open: SetAround = { ...closed, ...inSet(0, 1, 2), isOpen: true, nextRetryAt: soon };

  test.each([
    [
      "before it starts",
      job("pending"),
      undefined,
      [inSet(0, 2, 1)],
      [listed(3), one("not_started", null, 5)],
    ],
    ["while it is paused", job("paused"), undefined, [inSet(1, 5, 3)], [listed(8)]],
    [
      "by no more than there are, whenever they were counted",
      job("paused"),
      undefined,
      [inSet(0, 9, 9)],
      [listed(8)],
    ],
    ["beside delays", job("running"), around(), [inSet(0, 1, 2)], [listed(3), { ...delayed, contacts: 1 }]],
    [
      "in the sets of time zones that they are in",
      job("running"),
      around({ sets: [open, closed], hasWorker: false }),
      [inSet(0, 7, 1), inSet(1, 2, 0)],
      [listed(4), one("calling_hours", soon, 3), { ...delayed, contacts: 1 }],
    ],
    ["no more once it is cancelled", job("cancelled"), undefined, [inSet(0, 1, 1)], []],
  ])("because their phones are suppressed, %s", (_, of, surroundings, suppressed, holds) => {
    expect(holdsOf(of, surroundings, suppressed)).toEqual(holds);
  });
});

describe("a contact is held", () => {
  const pending = { status: "pending", nextAttemptAt: null } as const;
  const waiting = { status: "waiting_retry", nextAttemptAt: soon } as const;
  const due = { status: "waiting_retry", nextAttemptAt: now } as const;

  test.each([
    ["until its job is started", pending, job("pending"), undefined, one("not_started")],
    ["while its job is paused, whatever else", waiting, job("paused"), around(), one("paused")],
    ["by its delay", waiting, job("running"), around({ hasWorker: false }), one("retry_delay", soon)],
    [
      "by what holds all once its delay is over",
      due,
      job("running"),
      around({ hasWorker: false }),
      one("no_worker"),
    ],
    [
      "until its job's hours open",
      due,
      job("running"),
      around({ isOpen: false, opensAt: soon }),
      one("calling_hours", soon),
    ],
    ["by its job's limit", pending, job("running", { dialing: 2 }), around({ jobFree: 0 }), one("job_limit")],
    ["by nothing while others are leased", pending, job("running"), around(), undefined],
    [
      "by nothing while it is dialing",
      { ...pending, status: "dialing" as const },
      job("paused"),
      around(),
      undefined,
    ],
    [
      "by nothing once it is final",
      { ...pending, status: "busy" as const },
      job("paused"),
      around(),
      undefined,
    ],
    [
      "by nothing once it is cancelled",
      { ...pending, status: "cancelled" as const },
      job("cancelled"),
      undefined,
      undefined,
    ],
  ])("%s", (_, contact, of, surroundings, hold) => {
    expect(holdOf(contact, of, surroundings, now)).toEqual(hold);
  });
});

import { randomUUID } from "node:crypto";
import type { BatchJobs, JobCommandRequest } from "../../src/jobs/batch-jobs.ts";
import type { Command, JobStatus } from "../../src/domain/jobs/batch-job.ts";
import { makeContacts } from "./make.ts";

type Answer = { readonly entryRemoved: boolean };

/** When `reschedule` has its jobs start, and the same instant. */
export const newTime = { requestedStartTime: "2031-05-05T10:00:00", timeZone: "europe/berlin" };
export const newTimeAt = new Date("2031-05-05T08:00:00Z");

/** Every command on a job that exists. Two contacts are added, with phones that no job of makeJob has. */
export const jobCommands = {
  start: (jobs, request) => jobs.start(request),
  reschedule: (jobs, request) => jobs.reschedule(request, newTime),
  pause: (jobs, request) => jobs.pause(request),
  resume: (jobs, request) => jobs.resume(request),
  cancel: (jobs, request) => jobs.cancel(request),
  delete: (jobs, request) => jobs.delete(request),
  add_contacts: (jobs, request) => jobs.addContacts(request, makeContacts(2, 900_000)),
  update: (jobs, request) => jobs.update(request, { maxAttempts: 7 }),
} satisfies Record<Command, (jobs: BatchJobs, request: JobCommandRequest) => Promise<Answer>>;

/** Commands on jobs in statuses that allow them, and whether such a job has an entry to take off the schedule. */
export const allowedCases = [
  { command: "start", status: "pending", entryRemoved: false },
  { command: "start", status: "scheduled", entryRemoved: true },
  { command: "reschedule", status: "pending", entryRemoved: false },
  { command: "reschedule", status: "scheduled", entryRemoved: true },
  { command: "pause", status: "running", entryRemoved: false },
  { command: "resume", status: "paused", entryRemoved: false },
  { command: "cancel", status: "scheduled", entryRemoved: true },
  { command: "cancel", status: "running", entryRemoved: false },
  { command: "delete", status: "scheduled", entryRemoved: true },
  { command: "delete", status: "completed", entryRemoved: false },
  { command: "add_contacts", status: "pending", entryRemoved: false },
  { command: "add_contacts", status: "running", entryRemoved: false },
  { command: "update", status: "pending", entryRemoved: false },
  { command: "update", status: "paused", entryRemoved: false },
] as const satisfies { command: Command; status: JobStatus; entryRemoved: boolean }[];

/** A status that allows the command. */
export const allowedStatusOf = (command: Command): JobStatus =>
  allowedCases.find((allowed) => allowed.command === command)?.status ?? "pending";

export type Repeatable = Pick<JobCommandRequest, "requestId" | "fingerprint">;

/** A request id that no other call has, for a request of its own. */
export function aRequestId(): Repeatable {
  const requestId = randomUUID();
  return { requestId, fingerprint: () => Buffer.from(`what ${requestId} asks`) };
}

/** The same id with another request. */
export const askingOtherwise = ({ requestId }: Repeatable): Repeatable => ({
  requestId,
  fingerprint: () => Buffer.from(`what ${requestId} does not ask`),
});

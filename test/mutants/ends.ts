import type { Mutant } from "./mutants.ts";

const ends = "src/postgres/ends.ts";
const test = "test/jobs/ending.test.ts";

/** What ends a job at its time, once, and keeps anybody from being called after it. */
export const endings: Mutant[] = [
  {
    guard: "nobody is leased once the end of a job has come, whoever has looked before",
    file: "src/postgres/functions/open_leases.sql",
    text: "and (b.end_at is null or begun < b.end_at)",
    instead: "",
    test,
    title: "none is leased by a call that had taken its number off the list before",
  },
  {
    guard: "no call begins after the end of its job",
    file: "src/postgres/functions/open_leases.sql",
    text: "least(z.call_before, b.end_at) as call_before",
    instead: "z.call_before",
    test,
    title: "is before which a call under a lease of the job must begin",
  },
  {
    guard: "a call in progress at the end of its job is not tried again",
    file: "src/postgres/functions/end_leases.sql",
    text: " and (b.end_at is null or b.end_at > clock_timestamp())",
    instead: "",
    test,
    title: "a retry that has come due is leased no more, and what ends is not tried again",
  },
  {
    guard: "a call that is completed after the end of its job completes it",
    file: "src/postgres/functions/end_leases.sql",
    text: "elsif found_job.failure_reason = 'no_call_completed' and found_job.completed_contacts > 0 then",
    instead: "elsif false then",
    test,
    title: "of a running job leaves calls in progress alone, and nothing of it on the list",
  },
  {
    guard: "a job whose end has come is not started",
    file: "src/postgres/functions/start_due_jobs.sql",
    text: " or begun >= b.end_at",
    instead: "",
    test,
    title: "a start that is due fails the job, if it comes first",
  },
  {
    guard: "commands take a job whose end has come as one that has ended",
    file: "src/jobs/judgement.ts",
    text: "status: statusAt(job, situation.now.getTime())",
    instead: "status: job.status",
    test,
    title: "is refused, also before anybody has ended it",
  },
  {
    guard: "a paused job whose end has come does not go on",
    file: "src/postgres/resumes.ts",
    text: ` || statusAt(before, now.getTime()) !== "paused"`,
    instead: "",
    test,
    title: "a paused job does not go on by itself",
  },
  {
    guard: "an end that was moved does not come at its old time",
    file: ends,
    text: "and end_at <= clock_timestamp() and finished_at is null",
    instead: "and finished_at is null",
    test,
    title: "that was moved while a replica had the job in hand does not come",
  },
  {
    guard: "a job ends once",
    file: ends,
    text: `        and end_at <= clock_timestamp() and finished_at is null`,
    instead: "        and end_at <= clock_timestamp()",
    test,
    title: "of a job that is final changes nothing",
  },
  {
    guard: "nobody waits for a locked job to end the others",
    file: ends,
    text: "for no key update skip locked",
    instead: "for no key update",
    test,
    title: "of a job that somebody has locked is tried again soon, and holds up no other",
  },
  {
    guard: "of what replicas note of a job's progress in a minute one remains",
    file: "src/postgres/progress.ts",
    text: "where p.noted_at[cardinality(p.noted_at)] <= excluded.noted_at[1] - ${leastBetween}",
    instead: "",
    test: "test/jobs/progress.test.ts",
    title: "a running job's final contacts are noted once a minute, whoever looks",
  },
  {
    guard: "an end is ahead, and after the start",
    file: "src/jobs/new-job.ts",
    text: "if (startAt === null || endAt === null || startAt < endAt) return;",
    instead: "return;",
    test,
    title: "that is not after the start, and so is a start that is not before the end",
  },
];

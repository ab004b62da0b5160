import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Outcome } from "../../src/domain/contacts/contact.ts";
import type { Lease } from "../../src/leasing/lease-round.ts";
import { currentContacts } from "../../src/postgres/contacts/current-contacts.ts";
import { aNewJob, makeContacts, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { mostAtOnce, overlaps } from "./history.ts";
import { lease, limitOrganization, report } from "./leases.ts";

const workers = 50;
const limits = [40, 80, 160, 320, 640];
/** Less than the jobs may have together, and more than any has by itself. */
const organizationLimit = 800;
const contactsPerJob = 20_000;
const maxAttempts = 3;
const retryOn: Outcome[] = ["busy", "no_answer"];
const everyone = makeContacts(contactsPerJob);

/** How a call ends: the same for the same job, number and attempt. */
function outcomeOf(limit: number, number: number, attempt: number): Outcome {
  const mark = createHash("sha256").update(`${limit} ${number} ${attempt}`).digest().readUInt8() / 256;
  if (mark < 0.6) return "completed";
  if (mark < 0.75) return "busy";
  if (mark < 0.9) return "no_answer";
  return mark < 0.97 ? "voicemail" : "failed";
}

/** The outcomes of a contact's attempts, if nothing goes wrong. */
function historyOf(limit: number, number: number): Outcome[] {
  const history: Outcome[] = [];
  do history.push(outcomeOf(limit, number, history.length + 1));
  while (history.length < maxAttempts && retryOn.some((outcome) => outcome === history.at(-1)));
  return history;
}

async function runAll(parts: Parts): Promise<Map<string, number>> {
  const jobs = new Map<string, number>();
  for (const limit of limits) {
    const fields = {
      contacts: everyone,
      concurrentCallLimit: limit,
      maxAttempts,
      retryOn,
      retryDelaysMs: [0],
    };
    const { batchJobId } = await parts.jobs.create(onJob(parts, ""), aNewJob(fields));
    await parts.jobs.start(onJob(parts, batchJobId));
    jobs.set(batchJobId, limit);
  }
  return jobs;
}

/** Leases, calls and reports until the signal aborts. A call takes a few milliseconds. */
async function work(parts: Parts, limitOf: Map<string, number>, signal: AbortSignal): Promise<void> {
  const call = async ({ leaseId, jobId, number, attempt }: Lease) => {
    await delay((7 * number + 3 * attempt) % 10);
    return { leaseId, outcome: outcomeOf(limitOf.get(jobId) ?? 0, number, attempt) };
  };
  while (!signal.aborted) {
    const leases = await lease(parts, { maxContacts: 50, waitMs: 5_000, signal });
    await report(parts, await Promise.all(leases.map(call)));
  }
}

async function untilAllEnded({ db, caller }: Parts): Promise<void> {
  const running = () =>
    db
      .selectFrom("batch_jobs")
      .select("id")
      .where("organization_id", "=", caller.organizationId)
      .where("status", "=", "running")
      .execute();
  while ((await running()).length > 0) await delay(100);
}

test("many workers on two replicas call everyone as often as they should, and never more at once than either limit", async () => {
  await using parts = await startParts();
  await using other = await startParts({ beside: parts });
  await limitOrganization(parts, organizationLimit);
  const limitOf = await runAll(parts);

  const stop = new AbortController();
  const working = Promise.all(
    Array.from({ length: workers }, (_, i) => work(i % 2 === 0 ? parts : other, limitOf, stop.signal)),
  );
  await Promise.race([untilAllEnded(parts), working]);
  stop.abort();
  await working;

  const attempts = await parts.db
    .selectFrom("attempts")
    .select(["job_id", "number", "attempt", "leased_at", "ended_at", "outcome"])
    .orderBy("number")
    .orderBy("attempt")
    .execute();
  expect(overlaps(attempts)).toEqual([]);
  expect(mostAtOnce(attempts)).toBe(organizationLimit);
  const jobs = await parts.db.selectFrom("batch_jobs").selectAll().execute();
  expect(jobs.map(({ id }) => id).toSorted()).toEqual([...limitOf.keys()].toSorted());
  const most = new Map<number, number>();
  for (const job of jobs) {
    const limit = limitOf.get(job.id) ?? 0;
    const ofJob = attempts.filter((attempt) => attempt.job_id === job.id);
    most.set(limit, mostAtOnce(ofJob));
    expect(most.get(limit)).toBeLessThanOrEqual(limit);
    const histories = Map.groupBy(ofJob, ({ number }) => number);
    const expected = everyone.map((_, i) => historyOf(limit, i + 1));
    expect(everyone.map((_, i) => histories.get(i + 1)?.map(({ outcome }) => outcome))).toEqual(expected);

    const contacts = await parts.db
      .selectFrom(currentContacts.as("contacts"))
      .select(["status", "attempts"])
      .where("job_id", "=", job.id)
      .orderBy("number")
      .execute();
    expect(contacts).toEqual(expected.map((own) => ({ status: own.at(-1), attempts: own.length })));
    const count = (status: Outcome) => expected.filter((own) => own.at(-1) === status).length;
    expect(job).toMatchObject({
      status: "completed",
      revision: 3,
      total_contacts: contactsPerJob,
      pending_contacts: 0,
      dialing_contacts: 0,
      waiting_retry_contacts: 0,
      completed_contacts: count("completed"),
      busy_contacts: count("busy"),
      no_answer_contacts: count("no_answer"),
      voicemail_contacts: count("voicemail"),
      failed_contacts: count("failed"),
    });
  }
  // The smallest limits were in the way all the time.
  expect([most.get(40), most.get(80)]).toEqual([40, 80]);
  const { dialing } = await parts.db
    .selectFrom("organizations")
    .select("dialing")
    .where("id", "=", parts.caller.organizationId)
    .executeTakeFirstOrThrow();
  expect(dialing).toBe(0);
}, 300_000);

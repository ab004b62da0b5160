import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { BatchJobStatus, Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import type { RescheduleBatchJobsResponse } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import type { ContactInput } from "../../src/domain/contacts/contact.ts";
import { writeTimeOfDay } from "../../src/domain/time/hours-input.ts";
import { makeContacts } from "../support/make.ts";
import type { Random } from "../support/random.ts";
import { type Insist, Refused } from "./insist.ts";
import type { Suppressed } from "./history.ts";
import type { System } from "./system.ts";

const final: ReadonlySet<BatchJobStatus> = new Set([
  BatchJobStatus.COMPLETED,
  BatchJobStatus.FAILED,
  BatchJobStatus.CANCELLED,
]);

/** The answer, or undefined where the refusal is one that the job's own progress explains. */
async function unless<T>(expected: readonly string[], call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof Refused && expected.includes(error.reason)) return undefined;
    throw error;
  }
}

/** Has nobody call these phones; undefined if there are none. */
export async function suppressAll(
  insist: Insist,
  phones: readonly string[],
): Promise<Suppressed | undefined> {
  if (phones.length === 0) return undefined;
  const entries = phones.map((phone) => ({ phone, reason: "asked not to be called" }));
  const request = { requestId: randomUUID(), phones: entries };
  await insist("AddSuppressedPhones", ({ suppression }, o) => suppression.addSuppressedPhones(request, o));
  return { kind: "suppressed", phones, fromMs: Date.now(), untilMs: Infinity };
}

async function unsuppressAll(insist: Insist, list: Suppressed): Promise<void> {
  list.untilMs = Date.now();
  const request = { requestId: randomUUID(), phones: [...list.phones] };
  await insist("RemoveSuppressedPhones", ({ suppression }, o) =>
    suppression.removeSuppressedPhones(request, o),
  );
}

/** Erases whoever has this phone. */
async function erase(insist: Insist, phone: string): Promise<void> {
  const request = { requestId: randomUUID(), phone, reason: "asked for it" };
  await insist("EraseContacts", ({ jobs }, o) => jobs.eraseContacts(request, o), { timeoutMs: 20_000 });
}

/** The contacts of a job once more, in a job that nobody starts; answers its id, and how many it has. */
async function copy(insist: Insist, batchJobId: string) {
  const request = {
    requestId: randomUUID(),
    name: "A copy",
    fromPhoneNumberId: "pn_1",
    labels: { campaign: batchJobId },
    copyContacts: { batchJobId },
  };
  return await insist("CreateBatchJob", ({ jobs }, o) => jobs.createBatchJob(request, o));
}

/** The jobs with a label that tells them from all others. */
async function countLabelled(insist: Insist, campaign: string): Promise<number> {
  const filter = { labels: { campaign } };
  const { counts } = await insist("CountBatchJobs", ({ jobs }, o) => jobs.countBatchJobs({ filter }, o));
  return counts.reduce((sum, { count }) => sum + count, 0);
}

/** Its clocks are ahead of UTC by an odd number of minutes. */
const oddZone = { name: "Asia/Kathmandu", aheadMinutes: 345 };

/**
 * Hours that are open in every other minute, from now on for as long as so many windows last: in UTC and, in the
 * minutes between, in the odd zone.
 */
function everyOtherMinute() {
  const now = new Date();
  const utcMinute = now.getUTCHours() * 60 + now.getUTCMinutes();
  const starts = [0, oddZone.aheadMinutes].flatMap((ahead) => {
    const first = utcMinute + ahead;
    return Array.from({ length: 50 }, (_, i) => (first - (first % 2) + 2 * i) % 1_440);
  });
  const windows = starts.map((minute) => ({
    days: [1, 2, 3, 4, 5, 6, 7],
    start: writeTimeOfDay(minute),
    end: writeTimeOfDay(minute + 1),
  }));
  return { windows, closeEarly: durationFromMs(0) };
}

/** Contacts of which some have a time zone of their own. */
const inZones = (contacts: readonly ContactInput[], random: Random): ContactInput[] =>
  contacts.map((contact) => {
    const timezone = ["", "", "UTC", oddZone.name][random.between(0, 3)];
    return timezone === undefined || timezone === "" ? contact : { ...contact, timezone };
  });

/** What came of moving many jobs; a stream that ends before it tells is one that broke off. */
async function summaryOf(stream: AsyncIterable<RescheduleBatchJobsResponse>) {
  for await (const { part } of stream) if (part.case === "summary") return part.value;
  throw new ConnectError("the stream ended before its summary", Code.Unavailable);
}

const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();

/**
 * Takes one job through its life, as a backend would, until it is final: created, perhaps scheduled and moved, started
 * by hand or by its time, perhaps filled up, changed, paused and resumed, or cancelled. It is the only one that
 * commands the job, so that every answer can be foreseen but for how far the job has come by itself, and whether it has
 * paused itself.
 */
export async function runCampaign(
  { history }: System,
  insist: Insist,
  { random, mostContacts = 20, usesNew = true }: { random: Random; mostContacts?: number; usesNew?: boolean },
): Promise<void> {
  /** For what the last release does not know. */
  const chanceOfNew = (part: number): boolean => usesNew && random.chance(part);
  const count = random.between(1, mostContacts);
  const isScheduled = random.chance(0.5);
  const endsByItself = chanceOfNew(0.2);
  /** A start that has taken long to get through may come after the end. */
  const orEnded = (expected: readonly string[]) =>
    endsByItself ? [...expected, "invalid_status", "invalid_argument"] : expected;
  // Nobody else has these.
  const suppressed = Array.from(
    { length: chanceOfNew(0.3) ? random.between(1, 3) : 0 },
    () => `+1416${random.between(1_000_000, 9_999_999)}`,
  );
  const erased = chanceOfNew(0.3) ? [`+1417${random.between(1_000_000, 9_999_999)}`] : [];
  const hasZones = chanceOfNew(0.3);
  const inSomeZones = (contacts: readonly ContactInput[]) =>
    hasZones ? inZones(contacts, random) : [...contacts];
  const creation = {
    requestId: randomUUID(),
    name: "A campaign",
    fromPhoneNumberId: "pn_1",
    contacts: inSomeZones([
      ...makeContacts(count),
      ...[...suppressed, ...erased].map((phone) => ({ phone, name: "", fields: {} })),
    ]),
    concurrentCallLimit: random.between(1, 10),
    maxAttempts: random.between(1, 3),
    retryOn: [Outcome.BUSY, Outcome.NO_ANSWER, ...(random.chance(0.5) ? [Outcome.UNKNOWN] : [])],
    retryDelays: [durationFromMs(random.between(0, 1_500))],
    ...(usesNew ? { priority: random.between(1, 10) } : {}),
    ...(chanceOfNew(0.3) ? { callsPerSecond: random.between(5, 50) } : {}),
    ...(chanceOfNew(0.2) ? { rampUp: durationFromMs(random.between(100, 5_000)) } : {}),
    ...(chanceOfNew(0.2)
      ? { pauseWhen: { window: 20, share: 0.5, outcomes: [Outcome.BUSY, Outcome.NO_ANSWER] } }
      : {}),
    ...(chanceOfNew(hasZones ? 0.5 : 0.15) ? { callingHours: everyOtherMinute() } : {}),
    ...(endsByItself ? { endAt: timestampFromMs(Date.now() + random.between(8_000, 20_000)) } : {}),
    scheduledStartTime: isScheduled ? inMs(random.between(1_500, 5_000)) : "",
    labels: usesNew ? { campaign: randomUUID() } : {},
  };
  // Nobody can say that the time is still ahead when it has taken long to get through.
  const created = await unless(
    ["past_scheduled_time"],
    insist("CreateBatchJob", ({ jobs }, o) => jobs.createBatchJob(creation, o)),
  );
  if (created === undefined) return;
  const { batchJobId } = created;
  let total = created.totalContacts;
  const command = () => ({ requestId: randomUUID(), batchJobId });

  if (isScheduled && random.chance(0.4)) {
    const request = { ...command(), scheduledStartTime: inMs(random.between(1_500, 4_000)) };
    const { requestId, scheduledStartTime } = request;
    const ofMany = { requestId, scheduledStartTime, filter: { labels: creation.labels } };
    await unless<object>(
      orEnded(["invalid_status", "past_scheduled_time", "already_terminal"]),
      chanceOfNew(0.5)
        ? insist("RescheduleBatchJobs", ({ jobs }, o) => summaryOf(jobs.rescheduleBatchJobs(ofMany, o)))
        : insist("RescheduleBatchJob", ({ jobs }, o) => jobs.rescheduleBatchJob(request, o)),
    );
  }
  if (!isScheduled || random.chance(0.3)) {
    const request = command();
    const started = await unless(
      orEnded(isScheduled ? ["already_running", "invalid_status"] : []),
      insist("StartBatchJob", ({ jobs }, o) => jobs.startBatchJob(request, o)),
    );
    if (started !== undefined) history.told.push({ kind: "started", jobId: batchJobId });
  }
  const list = await suppressAll(insist, suppressed);
  if (list !== undefined) history.told.push(list);
  if (random.chance(0.3)) {
    const more = inSomeZones(makeContacts(random.between(1, mostContacts), 500_000));
    const request = { ...command(), contacts: more };
    const added = await unless(
      ["already_terminal"],
      insist("AddContacts", ({ jobs }, o) => jobs.addContacts(request, o)),
    );
    total += added?.acceptedCount ?? 0;
  }
  if (chanceOfNew(0.3)) {
    // It is raised, so that what was leased before breaks none of the rules.
    const limit = creation.concurrentCallLimit + random.between(1, 5);
    const request = { ...command(), concurrentCallLimit: limit, retryDelays: [durationFromMs(200)] };
    const updated = await unless(
      ["not_updatable"],
      insist("UpdateBatchJob", ({ jobs }, o) => jobs.updateBatchJob(request, o)),
    );
    if (updated !== undefined) history.told.push({ kind: "updated", jobId: batchJobId, limit });
  }
  for (const phone of erased) {
    await erase(insist, phone);
    history.told.push({ kind: "erased", phone });
    const request = { ...command(), contacts: [{ phone, name: "", fields: {} }] };
    const added = await unless(
      ["already_terminal"],
      insist("AddContacts", ({ jobs }, o) => jobs.addContacts(request, o)),
    );
    if ((added?.acceptedCount ?? 0) > 0)
      history.wrong.push(`${phone} was erased, and added to ${batchJobId}`);
  }
  if (random.chance(0.2)) {
    const [pause, resume] = [command(), command()];
    const rest = random.between(100, 1_000);
    const paused = await unless(
      ["invalid_status"],
      insist("PauseBatchJob", ({ jobs }, o) => jobs.pauseBatchJob(pause, o)),
    );
    await delay(rest);
    if (paused !== undefined) {
      await unless(
        orEnded([]),
        insist("ResumeBatchJob", ({ jobs }, o) => jobs.resumeBatchJob(resume, o)),
      );
    }
  }
  if (random.chance(0.15)) {
    const request = command();
    const cancelled = await unless(
      ["already_terminal"],
      insist("CancelBatchJob", ({ jobs }, o) => jobs.cancelBatchJob(request, o)),
    );
    if (cancelled !== undefined) history.told.push({ kind: "cancelled", jobId: batchJobId });
  }
  history.told.push({ kind: "contacts", jobId: batchJobId, total });
  for (;;) {
    const { batchJob } = await insist("GetBatchJob", ({ jobs }, o) => jobs.getBatchJob({ batchJobId }, o));
    if (batchJob !== undefined && final.has(batchJob.status) && batchJob.counts?.dialing === 0) {
      if (list !== undefined) await unsuppressAll(insist, list);
      if (!chanceOfNew(0.3)) return;
      const copied = await copy(insist, batchJobId);
      // Whoever was erased is in no copy.
      history.told.push({ kind: "contacts", jobId: copied.batchJobId, total: total - erased.length });
      const labelled = await countLabelled(insist, batchJobId);
      if (labelled !== 1) history.wrong.push(`${labelled} jobs have the label of the copy of ${batchJobId}`);
      return;
    }
    if (batchJob?.pauseReason === "pause_when") {
      const request = command();
      await unless(
        orEnded([]),
        insist("ResumeBatchJob", ({ jobs }, o) => jobs.resumeBatchJob(request, o)),
      );
    }
    await delay(300);
  }
}

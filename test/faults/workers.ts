import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import {
  type LeaseContactsRequestSchema,
  type LeasedContact,
  RecordedOutcome_Result as Result,
} from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import type { Random } from "../support/random.ts";
import type { Held } from "./history.ts";
import type { Insist } from "./insist.ts";
import type { System } from "./system.ts";

const results = new Map<Result, "recorded" | "already_recorded" | "lease_expired">([
  [Result.RECORDED, "recorded"],
  [Result.ALREADY_RECORDED, "already_recorded"],
  [Result.LEASE_EXPIRED, "lease_expired"],
]);

const outcomes = [
  [Outcome.COMPLETED, "completed"],
  [Outcome.BUSY, "busy"],
  [Outcome.NO_ANSWER, "no_answer"],
  [Outcome.VOICEMAIL, "voicemail"],
] as const;

const leaseMs = 10_000;
const longestCallMs = 40;
const atOnce = 10;

const takeUp = (worker: string, { leaseId, batchJobId, number, leaseExpiresAt }: LeasedContact): Held => ({
  worker,
  jobId: batchJobId,
  number,
  leaseId,
  fromMs: Date.now(),
  untilMs: leaseExpiresAt === undefined ? 0 : timestampMs(leaseExpiresAt),
});

const layDown = (held: Held): void => void (held.untilMs = Math.min(held.untilMs, Date.now()));

/** A worker that errs gives up a call this often at most before it has the patience of others. */
const mostGiveUps = 4;
const shortPatienceMs = 12;

type Haste = { readonly patienceMs: readonly number[]; readonly stays: boolean };
type Asking = MessageInitShape<typeof LeaseContactsRequestSchema>;

/**
 * Workers that lease what they can, call each contact for a moment, and tell how that went, often taking the next with
 * that. If they err, now and then: they die, come back too late, give leases back, extend all that they have, or give
 * calls up at once and repeat them.
 */
export function startWorkers(
  { history, randomOf }: System,
  insist: Insist,
  options: { count: number; errs?: boolean; batchJobIds?: string[] },
): AsyncDisposable & { calls(): number } {
  const { count, errs = false, batchJobIds = [] } = options;
  const stop = new AbortController();
  let calls = 0;

  /** Reports, and leases in the same call if something is asked for. */
  async function report(
    held: Held,
    [outcome, name]: (typeof outcomes)[number],
    { leaseNext, haste }: { leaseNext?: Asking; haste?: Haste },
  ): Promise<readonly LeasedContact[]> {
    const { leaseId, untilMs } = held;
    layDown(held);
    const request = { outcomes: [{ leaseId, outcome }], ...(leaseNext === undefined ? {} : { leaseNext }) };
    const answer = await insist(
      "ReportOutcomes",
      ({ worker }, o) => worker.reportOutcomes(request, o),
      haste,
    );
    const result = results.get(answer.outcomes[0]?.result ?? Result.UNSPECIFIED);
    if (result === undefined) history.wrong.push(`a report of ${leaseId} was answered with nothing`);
    else history.told.push({ kind: "reported", leaseId, outcome: name, result });
    if (result === "lease_expired" && Date.now() < untilMs)
      history.wrong.push(`${leaseId} was gone ${untilMs - Date.now()} ms before its time was over`);
    return answer.contacts;
  }

  /** Extends all that a worker has, in any order. */
  async function extend(inHand: ReadonlySet<Held>, random: Random): Promise<void> {
    const some = [...inHand]
      .map((held) => ({ held, rank: random.next() }))
      .toSorted((a, b) => a.rank - b.rank);
    if (some.length === 0) return;
    const leaseIds = some.map(({ held }) => held.leaseId);
    const { leases } = await insist("ExtendLeases", ({ worker }, o) =>
      worker.extendLeases({ leaseIds, leaseDuration: durationFromMs(leaseMs) }, o),
    );
    for (const [i, { held }] of some.entries()) {
      const isHeld = inHand.has(held);
      const expiresAt = leases[i]?.leaseExpiresAt;
      if (isHeld && expiresAt !== undefined) held.untilMs = timestampMs(expiresAt);
      // Perhaps it was laid down meanwhile; and what is gone is nobody's trouble once its time is over.
      if (!isHeld || expiresAt !== undefined) continue;
      if (Date.now() < held.untilMs) history.wrong.push(`${held.leaseId} was gone before its time was over`);
      layDown(held);
    }
  }

  const askFor = (workerId: string, maxContacts: number) => ({
    workerId,
    requestId: randomUUID(),
    maxContacts,
    leaseDuration: durationFromMs(leaseMs),
    batchJobIds,
  });

  /** Whether a call is given up at once, and how often. */
  function hasteOf(random: Random): Haste {
    const giveUps = errs && random.chance(0.5) ? random.between(1, mostGiveUps) : 0;
    const patienceMs = Array.from({ length: giveUps }, () => random.between(1, shortPatienceMs));
    return { patienceMs, stays: random.chance(0.5) };
  }

  /** Calls a contact and reports it; answers those that were leased with the report. */
  async function call(held: Held, inHand: Set<Held>, random: Random): Promise<readonly LeasedContact[]> {
    calls += 1;
    const { leaseId } = held;
    // All that is chosen is chosen now: calls end in whatever order they do.
    const fate = errs ? random.next() : 1;
    const callMs = random.between(0, longestCallMs);
    const outcome = random.chance(0.6) ? outcomes[0] : random.pick(outcomes);
    const takesNext = random.chance(0.6) ? { leaseNext: askFor(held.worker, 1), haste: hasteOf(random) } : {};
    await delay(callMs);
    // One that dies without a word, and one that comes back too late.
    if (fate < 0.01) return [];
    if (fate < 0.02) await delay(leaseMs + 1_500, undefined, { signal: stop.signal }).catch(() => {});
    if (fate > 0.02 && fate < 0.05) {
      inHand.delete(held);
      layDown(held);
      const { leases } = await insist("ReleaseLeases", ({ worker }, o) =>
        worker.releaseLeases({ leaseIds: [leaseId] }, o),
      );
      if (leases[0]?.released === true) history.told.push({ kind: "released", leaseId });
      return [];
    }
    if (fate > 0.05 && fate < 0.2) await extend(inHand, random);
    inHand.delete(held);
    return await report(held, outcome, stop.signal.aborted ? {} : takesNext);
  }

  async function work(workerId: string): Promise<void> {
    const random = randomOf(workerId);
    const calling = new Set<Promise<void>>();
    const inHand = new Set<Held>();

    async function callOn(held: Held): Promise<void> {
      const contacts = await call(held, inHand, random);
      for (const contact of contacts) begin(contact);
    }

    function begin(contact: LeasedContact): void {
      const held = takeUp(workerId, contact);
      history.held.push(held);
      inHand.add(held);
      const ended = callOn(held).finally(() => {
        inHand.delete(held);
        calling.delete(ended);
      });
      calling.add(ended);
    }

    while (!stop.signal.aborted) {
      const request = { ...askFor(workerId, random.between(1, atOnce)), wait: durationFromMs(1_000) };
      const { contacts } = await insist(
        "LeaseContacts",
        ({ worker }, o) => worker.leaseContacts(request, o),
        hasteOf(random),
      );
      for (const contact of contacts) begin(contact);
      if (calling.size >= atOnce) await Promise.race(calling);
    }
    while (calling.size > 0) await Promise.all(calling);
  }

  const working = Promise.all(
    Array.from({ length: count }, (_, i) =>
      work(`worker ${i + 1}`).catch(
        (error: unknown) => void history.wrong.push(`a worker gave up: ${error}`),
      ),
    ),
  );
  return {
    calls: () => calls,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await working;
    },
  };
}

import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import {
  type LeasedContact,
  RecordedOutcome_Result as Result,
} from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import type { Random } from "../support/random.ts";
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

/** Workers that lease what they can, call each contact for a moment, and tell how that went. If they err, now and then. */
export function startWorkers(
  { history, randomOf }: System,
  insist: Insist,
  options: { count: number; errs?: boolean; batchJobIds?: string[] },
): AsyncDisposable & { calls(): number } {
  const { count, errs = false, batchJobIds = [] } = options;
  const stop = new AbortController();
  let calls = 0;

  async function report(leaseId: string, [outcome, name]: (typeof outcomes)[number]): Promise<void> {
    const answer = await insist("ReportOutcomes", ({ worker }, o) =>
      worker.reportOutcomes({ outcomes: [{ leaseId, outcome }] }, o),
    );
    const result = results.get(answer.outcomes[0]?.result ?? Result.UNSPECIFIED);
    if (result === undefined) history.wrong.push(`a report of ${leaseId} was answered with nothing`);
    else history.told.push({ kind: "reported", leaseId, outcome: name, result });
  }

  async function call({ leaseId }: LeasedContact, random: Random): Promise<void> {
    calls += 1;
    // All that is chosen is chosen now: calls end in whatever order they do.
    const fate = errs ? random.next() : 1;
    const callMs = random.between(0, longestCallMs);
    const outcome = random.chance(0.6) ? outcomes[0] : random.pick(outcomes);
    await delay(callMs);
    // One that dies without a word, and one that comes back too late.
    if (fate < 0.01) return;
    if (fate < 0.02) await delay(leaseMs + 1_500, undefined, { signal: stop.signal }).catch(() => {});
    if (fate > 0.02 && fate < 0.05) {
      const { leases } = await insist("ReleaseLeases", ({ worker }, o) =>
        worker.releaseLeases({ leaseIds: [leaseId] }, o),
      );
      if (leases[0]?.released === true) history.told.push({ kind: "released", leaseId });
      return;
    }
    if (fate > 0.05 && fate < 0.1) {
      const leaseDuration = durationFromMs(leaseMs);
      await insist("ExtendLeases", ({ worker }, o) =>
        worker.extendLeases({ leaseIds: [leaseId], leaseDuration }, o),
      );
    }
    await report(leaseId, outcome);
  }

  async function work(workerId: string): Promise<void> {
    const random = randomOf(workerId);
    const inHand = new Set<Promise<void>>();
    while (!stop.signal.aborted) {
      const request = {
        workerId,
        requestId: randomUUID(),
        maxContacts: random.between(1, atOnce),
        wait: durationFromMs(1_000),
        leaseDuration: durationFromMs(leaseMs),
        batchJobIds,
      };
      const { contacts } = await insist("LeaseContacts", ({ worker }, o) => worker.leaseContacts(request, o));
      for (const contact of contacts) {
        const calling = call(contact, random).finally(() => inHand.delete(calling));
        inHand.add(calling);
      }
      if (inHand.size >= atOnce) await Promise.race(inHand);
    }
    await Promise.all(inHand);
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

import { findOpening } from "../../src/domain/time/hours.ts";
import type { Campaign } from "../../src/domain/jobs/plan.ts";

const hourMs = 3_600_000;

/** A time in which nothing happens in a run: how many contacts are final, and when the last retry comes due. */
export type Resting = {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly final: number;
  readonly lastRetryAtMs: number | undefined;
};

/** A run call by call, by the rules of a lease. Of those who may be retried every so many are. */
export function simulate(
  plan: Campaign,
  onRest: (resting: Resting) => void = () => {},
): { calls: number[]; lastCallAtMs: number; endMs: number } {
  const { startMs } = plan;
  const retried: number[] = [];
  const ready = plan.sets.map(({ pending }) => Array.from({ length: pending }, () => 0));
  const openings = plan.sets.map(({ zones }) => findOpening(plan.hours, zones, startMs));
  let events: { atMs: number; set: number; attempts: number; isEnd: boolean }[] = [];
  const calls: number[] = [];
  let [atMs, dialing, nextCallMs, lastCallAtMs, final] = [startMs, 0, startMs, startMs, 0];
  const limitAt = () =>
    plan.rampUpMs === null
      ? plan.concurrentCallLimit
      : Math.min(
          plan.concurrentCallLimit,
          1 + Math.floor(((plan.concurrentCallLimit - 1) * (atMs - startMs)) / plan.rampUpMs),
        );
  for (;;) {
    const due = events.filter((event) => event.atMs <= atMs);
    events = events.filter((event) => event.atMs > atMs);
    for (const { set, attempts, isEnd, atMs: endedMs } of due) {
      if (!isEnd) ready[set]?.push(attempts);
      else {
        dialing -= 1;
        if (attempts >= plan.maxAttempts) {
          final += 1;
          continue;
        }
        const share = (retried[attempts] ?? 0.5) + plan.retriedShare;
        retried[attempts] = share % 1;
        if (share >= 1) {
          const delay = plan.retryDelaysMs[Math.min(attempts, plan.retryDelaysMs.length) - 1] ?? 0;
          events.push({ atMs: endedMs + delay, set, attempts, isEnd: false });
        } else {
          final += 1;
        }
      }
    }
    let wakeMs = Infinity;
    for (const [set, own] of ready.entries()) {
      if (own.length === 0) continue;
      let opening = openings[set];
      if (opening !== undefined && opening.untilMs <= atMs) {
        opening = openings[set] = findOpening(plan.hours, plan.sets[set]?.zones ?? [], atMs);
      }
      if (opening === undefined) continue;
      if (opening.fromMs > atMs) {
        wakeMs = Math.min(wakeMs, opening.fromMs);
        continue;
      }
      while (own.length > 0 && dialing < limitAt() && (plan.callsPerSecond === null || nextCallMs <= atMs)) {
        // Those who were called before come first.
        const attempts = (own.pop() ?? 0) + 1;
        dialing += 1;
        nextCallMs = Math.max(nextCallMs, atMs - 150) + 1_000 / (plan.callsPerSecond ?? 1);
        events.push({ atMs: atMs + plan.callDurationMs, set, attempts, isEnd: true });
        const hour = Math.floor((atMs - startMs) / hourMs);
        calls[hour] = (calls[hour] ?? 0) + 1;
        lastCallAtMs = atMs;
      }
      if (own.length === 0) continue;
      if (plan.callsPerSecond !== null && nextCallMs > atMs) wakeMs = Math.min(wakeMs, nextCallMs);
      if (dialing >= limitAt() && plan.rampUpMs !== null && atMs < startMs + plan.rampUpMs) {
        wakeMs = Math.min(wakeMs, atMs + 1_000);
      }
    }
    for (const event of events) wakeMs = Math.min(wakeMs, event.atMs);
    if (wakeMs === Infinity || wakeMs >= (plan.endMs ?? Infinity))
      return { calls, lastCallAtMs, endMs: atMs };
    const retries = events.filter(({ isEnd }) => !isEnd);
    onRest({
      fromMs: atMs,
      untilMs: Math.max(wakeMs, atMs + 1),
      final,
      lastRetryAtMs: retries.length === 0 ? undefined : Math.max(...retries.map((retry) => retry.atMs)),
    });
    atMs = Math.max(wakeMs, atMs + 1);
  }
}

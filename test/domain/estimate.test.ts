import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Point, type Progress, estimatedFinish } from "../../src/domain/jobs/estimate.ts";
import { type CallingHours, findOpening } from "../../src/domain/time/hours.ts";
import type { Campaign } from "../../src/domain/jobs/plan.ts";
import { type Resting, simulate } from "./simulated-run.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const nowMs = Date.parse("2027-03-01T12:00Z");

const between = (startMinute: number, endMinute: number): CallingHours => ({
  windows: [{ days: [1, 2, 3, 4, 5, 6, 7], startMinute, endMinute }],
  exceptions: [],
  closeEarlyMs: 0,
});

/** One point a minute until now, of a job of which so many contacts became final in each. */
const steady = (perMinute: number, minutes = 10): Point[] =>
  Array.from({ length: minutes + 1 }, (_, i) => ({
    atMs: nowMs - (minutes - i) * minuteMs,
    final: 1_000 + i * perMinute,
  }));

const estimate = (fields: Partial<Progress>) =>
  estimatedFinish({
    nowMs,
    points: steady(10),
    open: 600,
    lastRetryAtMs: undefined,
    hours: [],
    zoneSets: [["UTC"]],
    endAtMs: undefined,
    ...fields,
  });

describe("the end is estimated", () => {
  test("from how many contacts became final a minute", () => {
    expect(estimate({})).toBe(nowMs + hourMs);
  });

  test("from the last ten minutes alone", () => {
    const before = steady(1_000).map(({ atMs, final }) => ({
      atMs: atMs - 10 * minuteMs,
      final: final - 10_000,
    }));
    expect(estimate({ points: [...before.slice(0, -1), ...steady(10)] })).toBe(nowMs + hourMs);
  });

  test("from the time before a pause or the close of the hours, and not from that itself", () => {
    const yesterday = steady(10).map(({ atMs, final }) => ({ atMs: atMs - 20 * hourMs, final: final - 50 }));
    expect(estimate({ points: [...yesterday, { atMs: nowMs, final: 2_000 }] })).toBe(nowMs + hourMs);
  });

  test("within the hours of all that must be open", () => {
    const hours = [between(9 * 60, 12 * 60 + 20)];
    // Twenty minutes today, forty tomorrow.
    expect(estimate({ hours })).toBe(Date.parse("2027-03-02T09:40Z"));
    expect(estimate({ hours: [...hours, between(10 * 60, 24 * 60)] })).toBe(Date.parse("2027-03-02T10:40Z"));
  });

  test("while any of the sets of zones is open", () => {
    const hours = [between(9 * 60, 12 * 60 + 20)];
    // Open from 14:00 on in New York, where it is 7 o'clock now.
    expect(estimate({ hours, zoneSets: [["UTC"], ["America/New_York"]] })).toBe(
      Date.parse("2027-03-01T14:40Z"),
    );
  });

  test("no sooner than each of the sets has opened", () => {
    const hours = [between(9 * 60, 14 * 60)];
    expect(estimate({ hours, zoneSets: [["UTC"], ["America/Los_Angeles"]] })).toBe(
      Date.parse("2027-03-01T17:00Z"),
    );
  });

  test("no sooner than the last retry comes due, and no later than the end of the job", () => {
    const lastRetryAtMs = nowMs + 3 * hourMs;
    expect(estimate({ lastRetryAtMs })).toBe(lastRetryAtMs);
    expect(estimate({ lastRetryAtMs, endAtMs: nowMs + 2 * hourMs })).toBe(nowMs + 2 * hourMs);
    expect(estimate({ zoneSets: [[]], hours: [between(0, 60)], endAtMs: nowMs + hourMs })).toBe(
      nowMs + hourMs,
    );
  });
});

describe("there is nothing to say", () => {
  test.each<[string, Partial<Progress>]>([
    ["before anything is known", { points: [] }],
    [
      "in the first minute",
      {
        points: [
          { atMs: nowMs - 30_000, final: 0 },
          { atMs: nowMs, final: 100 },
        ],
      },
    ],
    ["while nothing becomes final", { points: steady(0) }],
    ["when nothing is open", { open: 0 }],
    ["where somebody can never be called", { hours: [between(0, 24 * 60)], zoneSets: [["UTC"], []] }],
    ["where no hours come any more", { hours: [between(0, 60)], zoneSets: [[]] }],
  ])("%s", (_, fields) => {
    expect(estimate(fields)).toBeUndefined();
  });
});

/** How long a set was open from one instant to another. */
function openMs(
  hours: readonly CallingHours[],
  zones: readonly string[],
  fromMs: number,
  untilMs: number,
): number {
  if (hours.length === 0) return untilMs - fromMs;
  let sum = 0;
  for (let atMs = fromMs; atMs < untilMs;) {
    const opening = findOpening(hours, zones, atMs);
    if (opening === undefined) return sum;
    sum += Math.max(0, Math.min(untilMs, opening.untilMs) - Math.max(atMs, opening.fromMs));
    atMs = opening.untilMs;
  }
  return sum;
}

test("in a run whose retries come soon it is right to a fifth of the time that is left", () => {
  const campaigns = fc.record({
    pending: fc.integer({ min: 2_000, max: 5_000 }),
    zone: fc.constantFrom("America/New_York", "Europe/Paris", "Asia/Kolkata"),
    hasHours: fc.boolean(),
    concurrentCallLimit: fc.integer({ min: 10, max: 40 }),
    callsPerSecond: fc.constantFrom(null, 0.25),
    maxAttempts: fc.integer({ min: 1, max: 3 }),
    callDurationMs: fc.constantFrom(30_000, 90_000),
    retriedShare: fc.constantFrom(0, 0.3, 0.5),
    part: fc.double({ min: 0.2, max: 0.9, noNaN: true }),
  });
  const delayMs = 5 * minuteMs;
  fc.assert(
    fc.property(campaigns, ({ pending, zone, hasHours, part, ...rest }) => {
      const hours = hasHours ? [between(9 * 60, 17 * 60)] : [];
      const zones = [zone];
      const each: Campaign = {
        startMs: nowMs,
        sets: [{ zones, pending, waiting: 0 }],
        hours,
        rampUpMs: null,
        retryDelaysMs: [delayMs],
        ...rest,
      };
      const states: Resting[] = [];
      const { endMs } = simulate(each, (resting) => states.push(resting));
      let at = 0;
      const stateAt = (instantMs: number): Resting | undefined => {
        while ((states[at]?.untilMs ?? Infinity) <= instantMs) at += 1;
        return states[at];
      };
      const lengthMs = openMs(hours, zones, nowMs, endMs);
      // It knows ten minutes, in which retries come as they do from then on.
      const settledMs = 10 * minuteMs + each.maxAttempts * (delayMs + each.callDurationMs);
      const points: Point[] = [];
      for (let atMs = nowMs; atMs < endMs; atMs += minuteMs) {
        const state = stateAt(atMs);
        const ranMs = openMs(hours, zones, nowMs, atMs);
        const isOpen = hours.length === 0 || (findOpening(hours, zones, atMs)?.fromMs ?? Infinity) <= atMs;
        if (state === undefined || !isOpen) continue;
        points.push({ atMs, final: state.final });
        if (ranMs < Math.max(settledMs, part * lengthMs)) continue;
        const finishMs = estimatedFinish({
          nowMs: atMs,
          points: points.slice(-11),
          open: pending - state.final,
          lastRetryAtMs: state.lastRetryAtMs,
          hours,
          zoneSets: [zones],
          endAtMs: undefined,
        });
        const leftMs = lengthMs - ranMs;
        const estimatedMs = openMs(hours, zones, atMs, finishMs ?? 0);
        expect(Math.abs(estimatedMs - leftMs)).toBeLessThan(
          0.2 * leftMs + each.maxAttempts * (delayMs + each.callDurationMs),
        );
        return;
      }
    }),
    { numRuns: 60 },
  );
});

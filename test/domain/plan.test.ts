import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CallingHours } from "../../src/domain/time/hours.ts";
import { type Campaign, planOf } from "../../src/domain/jobs/plan.ts";
import { simulate } from "./simulated-run.ts";

const hourMs = 3_600_000;
const week = [1, 2, 3, 4, 5, 6, 7];
const startMs = Date.parse("2027-03-01T12:00Z");

const campaign = (fields: Partial<Campaign> = {}): Campaign => ({
  startMs,
  sets: [{ zones: ["UTC"], pending: 1_000, waiting: 0 }],
  hours: [],
  concurrentCallLimit: 10,
  rampUpMs: null,
  callsPerSecond: null,
  maxAttempts: 1,
  retryDelaysMs: [300_000],
  callDurationMs: 60_000,
  retriedShare: 0,
  ...fields,
});

const between = (startMinute: number, endMinute: number, closeEarlyMs = 0): CallingHours => ({
  windows: [{ days: week, startMinute, endMinute }],
  exceptions: [],
  closeEarlyMs,
});

const at = (text: string) => Date.parse(`2027-03-${text}Z`);

describe("a plan", () => {
  test("begins as many calls as the limit allows, one after the other", () => {
    expect(planOf(campaign())).toEqual({
      hours: [
        { fromMs: at("01T12:00"), calls: 600 },
        { fromMs: at("01T13:00"), calls: 400 },
      ],
      sets: [{ opensAtMs: startMs }],
      lastCallAtMs: expect.closeTo(at("01T13:39"), -5),
      leftOver: 0,
    });
  });

  test("keeps the pace", () => {
    const { hours } = planOf(campaign({ callsPerSecond: 0.1 }));
    expect(hours.map(({ calls }) => calls)).toEqual([360, 360, 280]);
  });

  test("begins with one call while the limit grows", () => {
    const { hours } = planOf(campaign({ rampUpMs: hourMs, concurrentCallLimit: 11 }));
    expect(hours[0]?.calls).toBeGreaterThan(280);
    expect(hours[0]?.calls).toBeLessThan(360);
  });

  test("makes no call outside of hours, and says when each set opens", () => {
    const plan = planOf(
      campaign({
        hours: [between(540, 1_020)],
        sets: [
          { zones: ["America/Los_Angeles"], pending: 6_000, waiting: 0 },
          { zones: ["Europe/Paris"], pending: 100, waiting: 0 },
          { zones: [], pending: 7, waiting: 0 },
          { zones: ["UTC", "Pacific/Auckland"], pending: 8, waiting: 0 },
        ],
      }),
    );
    expect(plan.sets).toEqual([
      { opensAtMs: at("01T17:00") },
      { opensAtMs: startMs },
      { opensAtMs: undefined },
      { opensAtMs: undefined },
    ]);
    expect(plan.hours).toEqual([
      { fromMs: at("01T12:00"), calls: 100 },
      ...[17, 18, 19, 20, 21, 22, 23].map((hour) => ({ fromMs: at(`01T${hour}:00`), calls: 600 })),
      { fromMs: at("02T00:00"), calls: 600 },
      { fromMs: at("02T17:00"), calls: 600 },
      { fromMs: at("02T18:00"), calls: 600 },
    ]);
    expect(plan.leftOver).toBe(0);
  });

  test("tries again after the delays, while attempts remain", () => {
    const plan = planOf(
      campaign({
        sets: [{ zones: ["UTC"], pending: 100, waiting: 10 }],
        concurrentCallLimit: 100,
        maxAttempts: 3,
        retriedShare: 0.5,
        retryDelaysMs: [hourMs, 5 * hourMs],
      }),
    );
    // The waiting and the pending at once; of 110 the half after an hour; of those who had two the half after five.
    expect(plan.hours).toEqual([
      { fromMs: at("01T12:00"), calls: 110 },
      { fromMs: at("01T13:00"), calls: 50 },
      { fromMs: at("01T17:00"), calls: 5 },
      { fromMs: at("01T18:00"), calls: 25 },
    ]);
  });

  test("of nobody is empty", () => {
    expect(planOf(campaign({ sets: [{ zones: ["UTC"], pending: 0, waiting: 0 }] }))).toEqual({
      hours: [],
      sets: [{ opensAtMs: startMs }],
      lastCallAtMs: undefined,
      leftOver: 0,
    });
  });

  test("makes no call from the end of the job on, and says who is left then", () => {
    const plan = planOf(
      campaign({ endMs: at("01T13:15"), maxAttempts: 2, retriedShare: 0.5, retryDelaysMs: [hourMs] }),
    );
    expect(plan.hours).toEqual([
      { fromMs: at("01T12:00"), calls: 600 },
      { fromMs: at("01T13:00"), calls: 150 },
    ]);
    expect(plan.lastCallAtMs).toBeLessThanOrEqual(at("01T13:15"));
    // Some of those who were called wait for a retry, the others are not called at all.
    expect(plan.leftOver).toBeGreaterThan(400);
    expect(planOf(campaign({ endMs: startMs }))).toMatchObject({ hours: [], leftOver: 1_000 });
  });

  test("ends after 400 days, and says who is left", () => {
    const plan = planOf(campaign({ concurrentCallLimit: 1, callDurationMs: 24 * hourMs }));
    expect(plan.leftOver).toBe(600);
  });

  test("of a million contacts in twelve sets takes little time", () => {
    const began = performance.now();
    const zones = ["Europe/Paris", "America/New_York", "America/Chicago", "America/Denver"];
    const sets = Array.from({ length: 12 }, (_, i) => ({
      zones: [zones[i % 4] ?? ""],
      pending: 83_333,
      waiting: 0,
    }));
    planOf(
      campaign({
        sets,
        hours: [between(540, 1_200)],
        concurrentCallLimit: 200,
        maxAttempts: 3,
        retriedShare: 0.4,
      }),
    );
    expect(performance.now() - began).toBeLessThan(10_000);
  });
});

test("the plan of a random campaign is what its run then does: calls an hour, and the end", () => {
  const zones = ["America/New_York", "America/Los_Angeles", "Europe/Paris", "Asia/Kolkata"];
  const campaigns = fc.record({
    counts: fc.array(fc.integer({ min: 300, max: 1_500 }), { minLength: 1, maxLength: 3 }),
    firstZone: fc.nat(3),
    hasHours: fc.boolean(),
    concurrentCallLimit: fc.integer({ min: 10, max: 60 }),
    rampUpMs: fc.constantFrom(null, null, hourMs),
    callsPerSecond: fc.constantFrom(null, 0.1, 0.25),
    maxAttempts: fc.integer({ min: 1, max: 3 }),
    retryDelaysMs: fc.constantFrom([300_000], [600_000, 3 * hourMs]),
    callDurationMs: fc.constantFrom(20_000, 45_000, 90_000, 200_000),
    retriedShare: fc.constantFrom(0, 0.3, 0.6),
    endsAfterMs: fc.constantFrom(undefined, undefined, 90 * 60_000, 26 * hourMs),
  });
  fc.assert(
    fc.property(campaigns, ({ counts, firstZone, hasHours, endsAfterMs, ...rest }) => {
      const each: Campaign = {
        startMs,
        ...(endsAfterMs === undefined ? {} : { endMs: startMs + endsAfterMs }),
        sets: counts.map((pending, i) => ({
          zones: [zones[(firstZone + i) % 4] ?? ""],
          pending,
          waiting: 0,
        })),
        hours: hasHours ? [between(540, 1_020, 120_000)] : [],
        ...rest,
      };
      const plan = planOf(each);
      const run = simulate(each);
      const all = run.calls.reduce((sum, calls) => sum + (calls ?? 0), 0);
      const planned = (hour: number) =>
        plan.hours.find(({ fromMs }) => fromMs === startMs + hour * hourMs)?.calls ?? 0;
      // Calls begin up to a minute sooner or later, and so in another hour.
      const { concurrentCallLimit, callDurationMs, callsPerSecond } = each;
      const inAMinute =
        60 * Math.min((1_000 * concurrentCallLimit) / callDurationMs, callsPerSecond ?? Infinity);
      const off = [...Array(Math.ceil((run.lastCallAtMs - startMs) / hourMs) + 2).keys()]
        .map((hour) => ({ hour, planned: planned(hour), ran: run.calls[hour] ?? 0 }))
        .filter(({ planned: p, ran }) => Math.abs(p - ran) > Math.max(0.05 * ran, 0.01 * all, inAMinute));
      expect(off).toEqual([]);
      const lengthMs = run.lastCallAtMs - startMs;
      expect(Math.abs((plan.lastCallAtMs ?? startMs) - run.lastCallAtMs)).toBeLessThan(
        Math.max(0.05 * lengthMs, 2 * each.callDurationMs + 60_000),
      );
    }),
    { numRuns: 40 },
  );
});

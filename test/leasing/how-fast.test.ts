import { describe, expect, test } from "vitest";
import { type Call, beyondRamp, mostAtOnce, mostIn, tooFast } from "./how-fast.ts";

/* What judges how fast calls were is broken here once for each rule. */

/** Evenly, so many a second for ten seconds. */
const evenly = (perSecond: number) =>
  Array.from({ length: 10 * perSecond }, (_, i) => Math.floor((i * 1_000) / perSecond));

describe("a pace", () => {
  test("is held by calls that come evenly, and by a few that are made up for", () => {
    expect(tooFast(evenly(100), 100)).toEqual([]);
    // A wait of 150 ms, and then what was not called in it.
    const late = evenly(100).map((ms) => (ms > 3_000 && ms < 3_150 ? 3_150 : ms));
    expect(tooFast(late, 100)).toEqual([]);
    expect(mostIn(10_000, evenly(100))).toBe(1_000);
  });

  test("is broken by one call more than is made up for, and by one that is a little too fast", () => {
    const burst = evenly(100).map((ms) => (ms > 3_000 && ms < 3_180 ? 3_180 : ms));
    expect(tooFast(burst, 100)).toHaveLength(1);
    expect(tooFast(evenly(103), 100)).toHaveLength(1);
    expect(mostIn(10_000, evenly(103))).toBe(1_030);
  });

  test("is held by nobody who called, and by one who did once", () => {
    expect(tooFast([], 1)).toEqual([]);
    expect(tooFast([1_790_000_000_000], 0.01)).toEqual([]);
    expect(tooFast([1_790_000_000_000, 1_790_000_050_000], 0.01)).toEqual([]);
    expect(tooFast([1_790_000_000_000, 1_790_000_000_001, 1_790_000_000_002], 0.01)).toHaveLength(1);
  });
});

/** One begins whenever the limit has grown, from one to ten within nine seconds. */
const growing: readonly Call[] = Array.from({ length: 10 }, (_, i) => ({
  fromMs: 1_000 * i,
  untilMs: 60_000,
}));
const ramp = { startMs: 0, limit: 10, rampUpMs: 9_000 };

describe("a limit that grows", () => {
  test("is held where a call more begins when it has grown", () => {
    expect(beyondRamp(growing, ramp)).toBe(0);
    expect(mostAtOnce(growing)).toBe(10);
  });

  test("is broken by a call that begins a millisecond before, or beside the last one", () => {
    const hasty = growing.map((call, i) => (i === 4 ? { ...call, fromMs: 3_999 } : call));
    expect(beyondRamp(hasty, ramp)).toBe(1);
    expect(beyondRamp([...growing, { fromMs: 50_000, untilMs: 60_000 }], ramp)).toBe(1);
    // It takes the place of one that has ended.
    expect(beyondRamp([...growing, { fromMs: 60_000, untilMs: 61_000 }], ramp)).toBe(0);
  });
});

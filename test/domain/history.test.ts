import { describe, expect, test } from "vitest";
import type { BatchJob } from "../../src/domain/jobs/batch-job.ts";
import { type Noted, historyOf, mostSlots, slotMs, slotsInOne } from "../../src/domain/jobs/history.ts";
import { storedContactStatuses } from "../../src/domain/contacts/contact.ts";

const nobody = Object.fromEntries(storedContactStatuses.map((status) => [status, 0])) as BatchJob["counts"];
const startMs = Date.UTC(2030, 0, 1);

const aJob = (fields: Partial<BatchJob> = {}): BatchJob =>
  ({
    status: "running",
    startedAt: new Date(startMs),
    finishedAt: null,
    totalContacts: 10,
    endedAttempts: 8,
    counts: { ...nobody, pending: 4, completed: 6 },
    ...fields,
  }) as BatchJob;

const noted = (slot: number, completed: number): Noted => ({
  slot,
  atMs: startMs + slot * slotMs + 100,
  totalContacts: 10,
  endedAttempts: completed + 1,
  counts: { ...nobody, pending: 10 - completed, completed },
});

/** Seconds since the start, and how many are completed. */
const lines = (history: ReturnType<typeof historyOf>) =>
  history.map(({ atMs, counts }) => [(atMs - startMs) / 1_000, counts.completed]);

describe("the history of a job", () => {
  test("is empty before it starts", () => {
    expect(historyOf(aJob({ startedAt: null }), [], startMs)).toEqual([]);
  });

  test("begins with nobody called, and ends with what there is now", () => {
    const history = historyOf(aJob(), [], startMs + 3_000);
    expect(lines(history)).toEqual([
      [0, 0],
      [3, 6],
    ]);
    expect(history[0]).toMatchObject({ totalContacts: 10, endedAttempts: 0, counts: { pending: 10 } });
    expect(history[1]).toMatchObject({ endedAttempts: 8 });
  });

  test("ends when the job ended, with what has been reported since", () => {
    const finishedAt = new Date(startMs + 7_000);
    expect(
      lines(historyOf(aJob({ status: "completed", finishedAt }), [noted(1, 5)], startMs + 90_000)),
    ).toEqual([
      [0, 0],
      [5.1, 5],
      [7, 6],
    ]);
  });

  test("goes on level while nothing changes", () => {
    expect(lines(historyOf(aJob(), [noted(1, 2), noted(2, 3), noted(100, 4)], startMs + 600_000))).toEqual([
      [0, 0],
      [5.1, 2],
      [10.1, 3],
      [495.1, 3],
      [500.1, 4],
      [595, 4],
      [600, 6],
    ]);
  });

  test("does not go back in time where the clock has", () => {
    expect(lines(historyOf(aJob(), [noted(1, 2), noted(9, 3)], startMs + 21_000))).toEqual([
      [0, 0],
      [5.1, 2],
      [16, 2],
      [21, 6],
    ]);
  });

  test("has no more than 500 points", () => {
    const every = Array.from({ length: mostSlots }, (_, i) => noted(i * 4 + 1, i % 10));
    expect(historyOf(aJob(), every, startMs + 365 * 86_400_000).length).toBeLessThanOrEqual(500);
  });
});

test.each([
  [0, 1],
  [mostSlots - 1, 1],
  [mostSlots, 2],
  [2 * mostSlots - 1, 2],
  [2 * mostSlots, 4],
  [8 * mostSlots - 1, 8],
  [6_311_520, 32_768],
])("a job as old as slot %i has slots of %i", (slot, inOne) => {
  expect(slotsInOne(slot)).toBe(inOne);
  expect(Math.floor(slot / inOne)).toBeLessThan(mostSlots);
});

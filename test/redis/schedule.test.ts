import { describe, expect, inject, test } from "vitest";
import { RedisError, openRedis } from "../../src/redis/connection.ts";
import type { Entry } from "../../src/redis/schedule.ts";
import { eventually } from "../support/eventually.ts";
import { useFreshParts } from "../support/fresh.ts";
import type { Parts } from "../support/parts.ts";
import { subscribersOf } from "../support/redis-keys.ts";

const freshParts = useFreshParts();

const entry = (scheduledJobId: string, scheduledStartTimeMs: number): Entry => ({
  scheduledJobId,
  scheduledStartTimeMs,
});

async function standing({ redis, keys }: Parts): Promise<string[]> {
  return await redis.zrange(keys.due, "0", "-1", "WITHSCORES");
}

async function addAll({ schedule }: Parts, ...entries: readonly Entry[]): Promise<void> {
  for (const each of entries) await schedule.add(each);
}

/** A subscriber, and how often it has been woken. */
async function subscribe(parts: Parts) {
  const subscriber = openRedis(inject("redisUrl"));
  let calls = 0;
  parts.schedule.onWake(subscriber, () => {
    calls += 1;
  });
  await eventually(async () => expect(await subscribersOf(parts.redis, parts.keys.wake)).toBe(1));
  return { calls: () => calls, [Symbol.dispose]: () => subscriber.disconnect() };
}

describe("add", () => {
  test("puts an entry under its time, and moves it when it is there already", async () => {
    await using parts = await freshParts();
    await addAll(parts, entry("a", 100), entry("b", 200), entry("a", 300));
    expect(await standing(parts)).toEqual(["b", "200", "a", "300"]);
  });

  test("keeps the millisecond of the last time that can be given", async () => {
    await using parts = await freshParts();
    const lastMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
    await addAll(parts, entry("a", lastMs));
    expect(await parts.schedule.dueTimes(["a"])).toEqual([lastMs]);
  });
});

describe("remove", () => {
  test("tells the truth about whether the entry was there", async () => {
    await using parts = await freshParts();
    await addAll(parts, entry("a", 100), entry("b", 200));
    expect(await parts.schedule.removeAll(["a"])).toBe(1);
    expect(await parts.schedule.removeAll(["a"])).toBe(0);
    expect(await standing(parts)).toEqual(["b", "200"]);
  });

  test("of many at once answers how many were there", async () => {
    await using parts = await freshParts();
    await addAll(parts, entry("a", 100), entry("b", 200), entry("c", 300));
    expect(await parts.schedule.removeAll(["a", "x", "c"])).toBe(2);
    expect(await parts.schedule.removeAll([])).toBe(0);
    expect(await standing(parts)).toEqual(["b", "200"]);
  });

  test("of one entry by ten at once is true for one of them", async () => {
    await using parts = await freshParts();
    await addAll(parts, entry("a", 100));
    const removed = await Promise.all(Array.from({ length: 10 }, () => parts.schedule.removeAll(["a"])));
    expect(removed.filter(Boolean)).toEqual([1]);
  });
});

describe("claim", () => {
  test("takes what is due, earliest first, moves it, and answers when the next one is due", async () => {
    await using parts = await freshParts();
    await addAll(parts, entry("later", 1_001), entry("b", 900), entry("now", 1_000), entry("a", 100));
    expect(await parts.schedule.claim(1_000, 10, 500)).toEqual({
      entries: [entry("a", 100), entry("b", 900), entry("now", 1_000)],
      nextDueMs: 1_001,
    });
    expect(await standing(parts)).toEqual(["later", "1001", "a", "1500", "b", "1500", "now", "1500"]);
    expect(await parts.schedule.claim(1_000, 10, 500)).toEqual({ entries: [], nextDueMs: 1_001 });
  });

  test("takes no more than its limit, and the next claim takes the rest", async () => {
    await using parts = await freshParts();
    await addAll(parts, entry("a", 1), entry("b", 2), entry("c", 3));
    expect(await parts.schedule.claim(1_000, 2, 500)).toEqual({
      entries: [entry("a", 1), entry("b", 2)],
      nextDueMs: 3,
    });
    expect(await parts.schedule.claim(1_000, 2, 500)).toEqual({ entries: [entry("c", 3)], nextDueMs: 1_500 });
  });

  test("answers that there is no next one where there is no entry", async () => {
    await using parts = await freshParts();
    expect(await parts.schedule.claim(1_000, 10, 500)).toEqual({ entries: [], nextDueMs: undefined });
  });

  test("gives what was not settled to the next claim after its hold", async () => {
    await using parts = await freshParts();
    await addAll(parts, entry("a", 100));
    await parts.schedule.claim(1_000, 10, 500);
    expect((await parts.schedule.claim(1_499, 10, 500)).entries).toEqual([]);
    expect((await parts.schedule.claim(1_500, 10, 500)).entries).toEqual([entry("a", 1_500)]);
  });
});

describe("rescore", () => {
  test("moves entries that are there, and never adds one again", async () => {
    await using parts = await freshParts();
    await addAll(parts, entry("a", 100), entry("b", 200));
    await parts.schedule.removeAll(["b"]);
    await parts.schedule.rescore([entry("a", 300), entry("b", 200)]);
    await parts.schedule.rescore([]);
    expect(await standing(parts)).toEqual(["a", "300"]);
  });
});

describe("addMissing", () => {
  test("adds what is not there, leaves the others where they are, and answers how many it added", async () => {
    await using parts = await freshParts();
    await addAll(parts, entry("a", 100));
    expect(await parts.schedule.addMissing([entry("a", 999), entry("b", 200), entry("c", 300)])).toBe(2);
    expect(await parts.schedule.addMissing([])).toBe(0);
    expect(await standing(parts)).toEqual(["a", "100", "b", "200", "c", "300"]);
  });
});

describe("looking", () => {
  test("answers the times in the order asked, and undefined for what is not there", async () => {
    await using parts = await freshParts();
    await addAll(parts, entry("a", 100), entry("b", 200.5));
    expect(await parts.schedule.dueTimes(["b", "x", "a"])).toEqual([200.5, undefined, 100]);
    expect(await parts.schedule.dueTimes([])).toEqual([]);
  });

  test("at slice after slice sees every entry", async () => {
    await using parts = await freshParts();
    const ids = Array.from({ length: 700 }, (_, i) => `entry-${i}`);
    await parts.schedule.addMissing(ids.map((id, i) => entry(id, i)));
    const seen = new Set<string>();
    let slices = 0;
    for (let cursor = "0", isOver = false; !isOver; isOver = cursor === "0") {
      const slice = await parts.schedule.scan(cursor, 100);
      for (const id of slice.scheduledJobIds) seen.add(id);
      cursor = slice.cursor;
      slices += 1;
    }
    expect([...seen].toSorted()).toEqual(ids.toSorted());
    expect(slices).toBeGreaterThan(1);
  });

  test("tells whether the set was filled since Redis lost its data", async () => {
    await using parts = await freshParts();
    expect(await parts.schedule.isFilled()).toBe(false);
    await parts.schedule.markFilled();
    expect(await parts.schedule.isFilled()).toBe(true);
  });
});

test("schedules under different prefixes do not see each other", async () => {
  await using parts = await freshParts();
  await using stranger = await freshParts();
  await addAll(parts, entry("a", 100));
  await parts.schedule.markFilled();
  expect(await stranger.schedule.removeAll(["a"])).toBe(0);
  expect(await stranger.schedule.claim(1_000, 10, 500)).toEqual({ entries: [], nextDueMs: undefined });
  expect(await stranger.schedule.isFilled()).toBe(false);
  expect(await standing(parts)).toEqual(["a", "100"]);
});

describe("waking", () => {
  test("happens for an entry that comes to stand first, and for no other", async () => {
    await using parts = await freshParts();
    using woken = await subscribe(parts);
    await addAll(
      parts,
      entry("first", 200),
      entry("second", 300),
      entry("earlier", 100),
      entry("third", 400),
    );
    await eventually(() => expect(woken.calls()).toBe(2));
  });

  test("happens when missing entries are added", async () => {
    await using parts = await freshParts();
    using woken = await subscribe(parts);
    await parts.schedule.addMissing([entry("a", 100)]);
    await parts.schedule.addMissing([entry("a", 100)]);
    await eventually(() => expect(woken.calls()).toBe(1));
  });
});

test("what Redis refuses comes as an error that names the step and none of the arguments", async () => {
  await using parts = await freshParts();
  await parts.redis.set(parts.keys.due, "not a sorted set");
  const secret = "+14155550123";
  const calls = [
    () => parts.schedule.add(entry(secret, 1)),
    () => parts.schedule.removeAll([secret]),
    () => parts.schedule.change({ put: [entry(secret, 1)], takeOff: [secret] }),
    () => parts.schedule.claim(1_000, 10, 500),
    () => parts.schedule.rescore([entry(secret, 1)]),
    () => parts.schedule.addMissing([entry(secret, 1)]),
    () => parts.schedule.dueTimes([secret]),
    () => parts.schedule.scan("0", 10),
  ];
  const errors = await Promise.all(calls.map((call) => call().catch((error: unknown) => error)));
  expect(errors.map((error) => error instanceof RedisError)).toEqual(calls.map(() => true));
  expect(errors.map(String)).toEqual(
    calls.map(() => expect.stringMatching(/(the schedule|due entries): WRONGTYPE/)),
  );
  const told = errors.map((error) => JSON.stringify(error, Object.getOwnPropertyNames(error)));
  expect(told.filter((text) => text.includes(secret))).toEqual([]);
});

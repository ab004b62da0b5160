import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createBuckets } from "../../src/redis/rates.ts";
import { eventually } from "../support/eventually.ts";
import { type Parts, startParts } from "../support/parts.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

let organizations = 0;

/** Takes out of a bucket of its own. */
function bucket(perSecond: number) {
  const buckets = createBuckets(parts.redis, parts.keys);
  const organizationId = (organizations += 1);
  return {
    take: (want: number, most = 0) => buckets.take(organizationId, "read", { perSecond, want, most }),
    key: parts.keys.bucket(organizationId, "read"),
  };
}

test("a full bucket gives a second's worth, then nothing, and says when there is more", async () => {
  const { take } = bucket(5);
  expect(await take(4)).toMatchObject({ granted: 4 });
  const last = await take(4);
  expect(last.granted).toBeLessThanOrEqual(2);
  const none = await take(5);
  expect(none.waitMs).toBeGreaterThan(0);
  expect(none.waitMs).toBeLessThanOrEqual(200);
  await delay(none.waitMs + 2);
  expect(await take(1)).toMatchObject({ granted: 1 });
});

test("what nobody has need of comes out of the upper half", async () => {
  const { take } = bucket(10);
  expect(await take(1, 3)).toMatchObject({ granted: 3 });
  expect((await take(1, 9)).granted).toBeLessThanOrEqual(3);
  expect(await take(4, 9)).toMatchObject({ granted: 4 });
});

test("a bucket that is full again is no key any more", async () => {
  const { take, key } = bucket(1_000);
  await take(20);
  await eventually(async () => expect(await parts.redis.exists(key)).toBe(0));
  expect(await take(1_000)).toMatchObject({ granted: 1_000 });
});

test.each([7, 300, 2_999])(
  "of %i a second, all are given and no more, however they are asked for",
  async (rate) => {
    const { take } = bucket(rate);
    const began = performance.now();
    let granted = 0;
    while (performance.now() - began < 2_000) {
      const grants = await Promise.all([take(1), take(3), take(rate)]);
      for (const grant of grants) granted += grant.granted;
    }
    const seconds = (performance.now() - began) / 1_000;
    expect(granted).toBeLessThanOrEqual(rate + rate * seconds + 1);
    expect(granted).toBeGreaterThanOrEqual((rate + rate * seconds) * 0.95 - 1);
  },
);

test("organizations and classes have buckets of their own", async () => {
  const buckets = createBuckets(parts.redis, parts.keys);
  const ask = { perSecond: 2, want: 2, most: 0 };
  expect(await buckets.take(900, "read", ask)).toMatchObject({ granted: 2 });
  expect(await buckets.take(900, "command", ask)).toMatchObject({ granted: 2 });
  expect(await buckets.take(901, "read", ask)).toMatchObject({ granted: 2 });
});

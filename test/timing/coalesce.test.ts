import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { coalesce, coalesceByKey } from "../../src/timing/coalesce.ts";
import { eventually } from "../support/eventually.ts";
import { collectGarbage } from "../support/garbage.ts";

test("calls of one key that come together are one piece of work, and those of another key are not among them", async () => {
  const works: [string, readonly number[]][] = [];
  const call = coalesceByKey(async (key: string, items: readonly number[]) => {
    works.push([key, items]);
    return items.map((item) => `${key}${item}`);
  }, 10);
  expect(await Promise.all([call("a", 1), call("b", 2), call("a", 3)])).toEqual(["a1", "b2", "a3"]);
  expect(works).toEqual([
    ["a", [1, 3]],
    ["b", [2]],
  ]);
});

test("nothing is kept of a key whose calls have ended, well or not", async () => {
  const call = coalesceByKey(async (key: { fails: boolean }, items: readonly number[]) => {
    if (key.fails) throw new Error("as asked");
    return items;
  }, 10);
  const keys = await Promise.all(
    Array.from({ length: 2_000 }, async (_, i) => {
      const key = { fails: i % 2 === 0 };
      await Promise.allSettled([call(key, 1), call(key, 2)]);
      return new WeakRef(key);
    }),
  );
  await eventually(() => {
    collectGarbage();
    expect(keys.filter((key) => key.deref() !== undefined)).toEqual([]);
  });
});

test("calls that begin apart take all with them that came until then", async () => {
  const batches: (readonly number[])[] = [];
  const call = coalesce(
    async (items: readonly number[]) => {
      batches.push(items);
      return items;
    },
    10,
    { atOnce: 4, everyMs: 100 },
  );
  await call(1);
  const second = call(2);
  // It waits by now.
  await nextTurn();
  await nextTurn();
  expect(await Promise.all([second, call(3), call(4)])).toEqual([2, 3, 4]);
  expect(batches).toEqual([[1], [2, 3, 4]]);
});

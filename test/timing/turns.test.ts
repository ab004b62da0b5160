import { expect, test } from "vitest";
import { createTurnsByKey } from "../../src/timing/turns.ts";
import { eventually } from "../support/eventually.ts";
import { collectGarbage } from "../support/garbage.ts";

test("work of one key is done one after the other, and that of another key beside it", async () => {
  const inTurnOf = createTurnsByKey<string>();
  const first = Promise.withResolvers<void>();
  const done: string[] = [];
  const work = (name: string, wait?: Promise<void>) => async () => {
    await wait;
    done.push(name);
  };
  const all = [inTurnOf("a", work("a1", first.promise)), inTurnOf("a", work("a2"))];
  await inTurnOf("b", work("b1"));
  first.resolve();
  await Promise.all(all);
  expect(done).toEqual(["b1", "a1", "a2"]);
});

test("nothing is kept of a key whose work has ended, well or not", async () => {
  const inTurnOf = createTurnsByKey<object>();
  const keys = await Promise.all(
    Array.from({ length: 2_000 }, async (_, i) => {
      const key = {};
      const work = async () => {
        if (i % 2 === 0) throw new Error("as asked");
      };
      await Promise.allSettled([inTurnOf(key, work), inTurnOf(key, work)]);
      return new WeakRef(key);
    }),
  );
  await eventually(() => {
    collectGarbage();
    expect(keys.filter((key) => key.deref() !== undefined)).toEqual([]);
  });
});

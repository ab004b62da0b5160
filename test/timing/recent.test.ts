import { expect, test } from "vitest";
import { createRecent } from "../../src/timing/recent.ts";

test("a map of the last ones forgets what was set longest ago, however much is set", () => {
  const recent = createRecent<number, string>(3);
  for (let i = 0; i < 10_000; i += 1) recent.set(i, `value ${i}`);
  recent.set(9_997, "set again");
  recent.set(10_000, "new");
  expect([9_996, 9_997, 9_998, 9_999, 10_000].map((key) => recent.get(key))).toEqual([
    undefined,
    "set again",
    undefined,
    "value 9999",
    "new",
  ]);
});

import { expect, test } from "vitest";
import { createLongPages } from "../../src/jobs/long-pages.ts";
import { eventually } from "../support/eventually.ts";

const never = () => new Promise<never>(() => {});

/** A long page that is being read for so long as nobody lets it go. */
function readLongPage(inTurn: ReturnType<typeof createLongPages>, organizationId: number) {
  const { promise, resolve } = Promise.withResolvers<string>();
  const page = { hasBegun: false, letGo: () => resolve("a page"), read: Promise.resolve("") };
  page.read = inTurn({ organizationId, size: 1_000 }, () => {
    page.hasBegun = true;
    return promise;
  });
  return page;
}

test("the long pages of one organization are read one after the other, and another's beside them", async () => {
  const inTurn = createLongPages();
  const first = readLongPage(inTurn, 1);
  const second = readLongPage(inTurn, 1);
  const others = readLongPage(inTurn, 2);
  await eventually(() => expect(others.hasBegun).toBe(true));
  expect([first.hasBegun, second.hasBegun]).toEqual([true, false]);
  first.letGo();
  expect(await first.read).toBe("a page");
  // It rests before the next one.
  expect(second.hasBegun).toBe(false);
  await eventually(() => expect(second.hasBegun).toBe(true));
});

test("a short page waits for no long one", async () => {
  const inTurn = createLongPages();
  readLongPage(inTurn, 1);
  expect(await inTurn({ organizationId: 1, size: 100 }, () => Promise.resolve("a page"))).toBe("a page");
});

test("a page that fails is the end of its turn", async () => {
  const inTurn = createLongPages();
  const failing = inTurn({ organizationId: 1, size: 1_000 }, () => Promise.reject(new Error("no page")));
  await expect(failing).rejects.toThrow("no page");
  const next = readLongPage(inTurn, 1);
  await eventually(() => expect(next.hasBegun).toBe(true));
});

test("who has waited for 5 s for those before is told to come again", async () => {
  const inTurn = createLongPages();
  void inTurn({ organizationId: 1, size: 1_000 }, never);
  const late = inTurn({ organizationId: 1, size: 1_000 }, never);
  await expect(late).rejects.toMatchObject({ reason: "unavailable" });
});

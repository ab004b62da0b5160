import { expect, test } from "vitest";
import { createLongPages } from "../../src/jobs/long-pages.ts";
import { eventually } from "../support/eventually.ts";

const never = () => new Promise<never>(() => {});

/** A long page that is being read for so long as nobody lets it go. */
function readLongPage(readPage: ReturnType<typeof createLongPages>, organizationId: number) {
  const { promise, resolve } = Promise.withResolvers<string>();
  const page = { hasBegun: false, size: 0, letGo: () => resolve("a page"), read: Promise.resolve("") };
  page.read = readPage({ organizationId, size: 1_000 }, (size) => {
    page.hasBegun = true;
    page.size = size;
    return promise;
  });
  return page;
}

test("the long pages of one organization are read one after the other, and another's beside them", async () => {
  const readPage = createLongPages();
  const first = readLongPage(readPage, 1);
  const second = readLongPage(readPage, 1);
  const others = readLongPage(readPage, 2);
  await eventually(() => expect(others.hasBegun).toBe(true));
  expect([first.hasBegun, second.hasBegun]).toEqual([true, false]);
  first.letGo();
  expect(await first.read).toBe("a page");
  // It rests before the next one.
  expect(second.hasBegun).toBe(false);
  await eventually(() => expect(second.hasBegun).toBe(true));
});

test("a short page waits for no long one", async () => {
  const readPage = createLongPages();
  readLongPage(readPage, 1);
  expect(await readPage({ organizationId: 1, size: 100 }, () => Promise.resolve("a page"))).toBe("a page");
});

test("who asks for many at a time is given short ones, and a few have long ones", async () => {
  const readPage = createLongPages();
  const pages = Array.from({ length: 8 }, () => readLongPage(readPage, 1));
  const others = readLongPage(readPage, 2);
  for (const page of pages) {
    await eventually(() => expect(page.hasBegun).toBe(true));
    page.letGo();
    await page.read;
  }
  // Eight are asked for, then seven, six and five.
  expect(pages.map(({ size }) => size)).toEqual([100, 100, 100, 100, 1_000, 1_000, 1_000, 1_000]);
  expect(others.size).toBe(1_000);
});

test("a page that fails is the end of its turn", async () => {
  const readPage = createLongPages();
  const failing = readPage({ organizationId: 1, size: 1_000 }, () => Promise.reject(new Error("no page")));
  await expect(failing).rejects.toThrow("no page");
  const next = readLongPage(readPage, 1);
  await eventually(() => expect(next.hasBegun).toBe(true));
});

test("who has waited for 5 s for those before is told to come again", async () => {
  const readPage = createLongPages();
  void readPage({ organizationId: 1, size: 1_000 }, never);
  const late = readPage({ organizationId: 1, size: 1_000 }, never);
  await expect(late).rejects.toMatchObject({ reason: "unavailable" });
});

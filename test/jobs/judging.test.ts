import { expect, test } from "vitest";
import { createJudging } from "../../src/jobs/contacts/judging.ts";
import { makeContacts } from "../support/make.ts";

/** The names of lists that are judged at once, each of its organization, in the order in which they are done. */
async function orderOf(lists: Readonly<Record<string, readonly [organizationId: number, count: number]>>) {
  const judgeContacts = createJudging();
  const done: string[] = [];
  await Promise.all(
    Object.entries(lists).map(async ([name, [organizationId, count]]) => {
      const judged = await judgeContacts(organizationId, makeContacts(count), "");
      expect(judged.map(({ index }) => index)).toEqual(Array.from({ length: count }, (_, i) => i));
      done.push(name);
    }),
  );
  return done;
}

test("a long list is judged in turns, between which those of others have theirs", async () => {
  expect(await orderOf({ long: [1, 200_000], short: [2, 1_000] })).toEqual(["short", "long"]);
});

test("however many long lists an organization sends, that of another waits for one turn", async () => {
  const many = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`many ${i}`, [1, 50_000] as const]));
  expect((await orderOf({ ...many, another: [2, 1_000] }))[0]).toBe("another");
});

test("a list that is too short for turns waits for none", async () => {
  expect(await orderOf({ long: [1, 100_000], short: [1, 250] })).toEqual(["short", "long"]);
});

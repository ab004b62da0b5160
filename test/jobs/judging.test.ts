import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { judgeContacts } from "../../src/jobs/contacts/judging.ts";
import { makeContacts } from "../support/make.ts";

/** How often all else got its turn of the event loop until this had ended. */
async function turnsBeside(work: Promise<unknown>): Promise<number> {
  const over = new AbortController();
  void work.finally(() => over.abort());
  let turns = 0;
  for (; !over.signal.aborted; turns += 1) await nextTurn();
  return turns;
}

test("a long list is judged in turns, between which all else has its own", async () => {
  const contacts = makeContacts(100_000);
  expect(await turnsBeside(judgeContacts(contacts, ""))).toBeGreaterThan(10);
  expect(await judgeContacts(contacts, "")).toHaveLength(100_000);
});

test("a short list is judged at once", async () => {
  expect(await turnsBeside(judgeContacts(makeContacts(10), ""))).toBeLessThanOrEqual(1);
});

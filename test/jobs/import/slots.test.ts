import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { createSlots } from "../../../src/jobs/import/slots.ts";

/** Files by their names, of the organization that is their first letter; each is taken until it is ended. */
function takeFiles() {
  const inTurn = createSlots({ atOnce: 4, perOrganization: 2 });
  const taken: string[] = [];
  const ends = new Map<string, (error?: Error) => void>();
  const files = new Map<string, Promise<unknown>>();
  return {
    taken,
    async send(...names: string[]) {
      for (const name of names) {
        const work = () =>
          new Promise<void>((resolve, reject) => {
            taken.push(name);
            ends.set(name, (error) => (error === undefined ? resolve() : reject(error)));
          });
        files.set(
          name,
          inTurn(name.charCodeAt(0), work).catch((error: unknown) => error),
        );
      }
      await nextTurn();
    },
    async end(name: string, error?: Error) {
      ends.get(name)?.(error);
      await files.get(name);
      await nextTurn();
    },
  };
}

test("an organization has two files taken at once, and others get their turn before its third", async () => {
  const files = takeFiles();
  await files.send("a1", "a2", "a3", "a4", "b1", "b2", "c1");
  // b2 leaves the last slot to an organization that has none.
  expect(files.taken).toEqual(["a1", "a2", "b1", "c1"]);
  await files.end("b1");
  expect(files.taken.slice(4)).toEqual(["b2"]);
  await files.end("a1", new Error("a file that fails ends too"));
  expect(files.taken.slice(5)).toEqual([]);
  await files.end("c1");
  expect(files.taken.slice(5)).toEqual(["a3"]);
});

test("those who wait come in the order in which they came", async () => {
  const files = takeFiles();
  await files.send("a1", "b1", "c1", "d1", "e1", "a2", "f1");
  await files.end("c1");
  await files.end("d1");
  expect(files.taken.slice(4)).toEqual(["e1", "f1"]);
  await files.end("b1");
  await files.end("e1");
  expect(files.taken.slice(6)).toEqual(["a2"]);
});

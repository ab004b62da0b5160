import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { type GiveUp, type Taken, createSeats, onceAborted, whichever } from "../../src/timing/seats.ts";

/** Takes seats for holders by their names, and keeps who sits, in the order in which they sat down. */
function seat(maySit: (taken: Taken) => boolean) {
  const seats = createSeats<string>(maySit);
  const seated: string[] = [];
  const leaves = new Map<string, () => void>();
  async function sit(name: string): Promise<void> {
    leaves.set(name, await seats.take(name.charAt(0)));
    seated.push(name);
  }
  return {
    seats,
    seated,
    /** The holder is the first letter. */
    async take(...names: string[]): Promise<void> {
      for (const name of names) {
        void sit(name);
      }
      await nextTurn();
    },
    async leave(name: string): Promise<void> {
      leaves.get(name)?.();
      await nextTurn();
    },
  };
}

test("nobody waits behind one who must wait for longer", async () => {
  const { seats, seated, take, leave } = seat(({ own, all }) => all < 2 && own < 1);
  await take("a1", "a2", "b1", "b2", "c1");
  expect(seated).toEqual(["a1", "b1"]);
  await leave("b1");
  expect(seated.slice(2)).toEqual(["b2"]);
  await leave("b2");
  expect(seated.slice(3)).toEqual(["c1"]);
  await leave("a1");
  expect(seated.slice(4)).toEqual(["a2"]);
  expect({ taken: seats.taken, waiting: seats.waiting }).toEqual({ taken: 2, waiting: 0 });
});

test("the seats that are taken beyond a first one each are counted together", async () => {
  const { seated, take, leave } = seat(({ own, beyondFirst }) => own === 0 || beyondFirst < 1);
  await take("a1", "a2", "b1", "b2", "c1", "c2");
  expect(seated).toEqual(["a1", "a2", "b1", "c1"]);
  await leave("a1");
  expect(seated.slice(4)).toEqual(["b2"]);
  // Of two the one that is left is the first.
  await leave("b1");
  expect(seated.slice(5)).toEqual(["c2"]);
});

test("whoever gives up leaves the line, once, and takes no seat", async () => {
  const seats = createSeats<string>(({ all }) => all < 1);
  const leave = await seats.take("a");
  const [gone, other] = [new AbortController(), new AbortController()];
  let calledOff = 0;
  const counted: GiveUp = () => () => (calledOff += 1);
  const waiting = seats.take("b", whichever(onceAborted(other.signal), onceAborted(gone.signal), counted));
  const next = seats.take("c", whichever(onceAborted(other.signal), counted));
  gone.abort(new Error("b has gone"));
  await expect(waiting).rejects.toThrow("b has gone");
  expect({ waiting: seats.waiting, calledOff }).toEqual({ waiting: 1, calledOff: 1 });
  leave();
  await next;
  other.abort(new Error("too late"));
  expect({ taken: seats.taken, waiting: seats.waiting, calledOff }).toEqual({
    taken: 1,
    waiting: 0,
    calledOff: 2,
  });
});

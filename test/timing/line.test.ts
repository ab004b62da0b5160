import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { createLine, type Line } from "../../src/timing/line.ts";
import { eventually } from "../support/eventually.ts";

const connections = { one: {}, two: {}, three: {} };

/** What a line has begun, in its order. Each piece takes longer than a slice of the event loop. */
function record(line: Line) {
  const begun: string[] = [];
  const settle: (() => void)[] = [];
  const enter = (name: string, key: object, { group = "a", mostWaiting = 1_000 } = {}) =>
    line.enter({ group, key, mostWaiting }, (settled) => {
      begun.push(name);
      settle.push(settled);
      for (const untilMs = performance.now() + 3; performance.now() < untilMs;);
    });
  return { begun, settle, enter };
}

test("work is begun at once while nobody waits, and a burst a slice a turn", async () => {
  const { begun, enter } = record(createLine());
  for (let i = 0; i < 5; i += 1) enter(`${i}`, connections.one);
  expect(begun).toEqual(["0"]);
  let seen = 1;
  while (begun.length < 5) {
    await nextTurn();
    // No turn of the event loop has begun two.
    expect(begun.length - seen).toBeLessThanOrEqual(1);
    seen = begun.length;
  }
  expect(begun).toEqual(["0", "1", "2", "3", "4"]);
});

test("after a turn it rests so many times as long as the turn took", async () => {
  const line = createLine({ pauseMs: 1_000, rests: 5 });
  const turns: { beganMs: number; endedMs: number }[] = [];
  for (let i = 0; i < 4; i += 1)
    line.enter({ group: "a", key: line, mostWaiting: 10 }, () => {
      const beganMs = performance.now();
      while (performance.now() < beganMs + 10);
      turns.push({ beganMs, endedMs: performance.now() });
    });
  await eventually(() => expect(turns).toHaveLength(4));
  const rests = turns.slice(1).map(({ beganMs }, i) => beganMs - (turns[i]?.endedMs ?? NaN));
  // Timers of Node are as exact as a millisecond.
  for (const ms of rests) expect(ms).toBeGreaterThanOrEqual(49);
});

test("groups take turns, and so do the members of each, however much one has waiting", async () => {
  const { begun, enter } = record(createLine());
  for (let i = 0; i < 50; i += 1) enter("flood", connections.one);
  for (let i = 0; i < 2; i += 1) enter("neighbour", connections.two);
  enter("elsewhere", connections.three, { group: "b" });
  await eventually(() => expect(begun.filter((name) => name === "neighbour")).toHaveLength(2));
  expect(begun.indexOf("elsewhere")).toBeLessThanOrEqual(2);
  expect(begun.filter((name) => name === "flood").length).toBeLessThanOrEqual(5);
});

test("of one member no more waits than may, and in all no more than there is room for", async () => {
  const { begun, enter } = record(createLine());
  enter("first", connections.one);
  const entered = Array.from({ length: 5 }, () => enter("more", connections.one, { mostWaiting: 3 }));
  expect(entered).toEqual([true, true, true, false, false]);
  // So many others that each of them has room for two.
  const others = Array.from({ length: 2_047 }, () => ({}));
  for (const key of others) expect(enter("other", key)).toBe(true);
  const [other = {}] = others;
  expect([enter("other", other), enter("other", other)]).toEqual([true, false]);
  // What is begun makes room.
  await eventually(() => expect(begun.filter((name) => name === "more").length).toBeGreaterThan(0));
});

test("no more is unsettled than may be, and what is settled makes room", async () => {
  const { begun, settle, enter } = record(createLine({ atOnce: 2 }));
  for (let i = 0; i < 4; i += 1) enter(`${i}`, connections.one);
  await eventually(() => expect(begun).toEqual(["0", "1"]));
  for (let turns = 0; turns < 20; turns += 1) await nextTurn();
  expect(begun).toHaveLength(2);
  settle[0]?.();
  settle[0]?.();
  await eventually(() => expect(begun).toEqual(["0", "1", "2"]));
  for (let turns = 0; turns < 20; turns += 1) await nextTurn();
  expect(begun).toHaveLength(3);
});

test("of a line without an end no work is turned away", () => {
  const { enter } = record(createLine({ atOnce: 1, inTurn: 1, waiting: Infinity }));
  const entered = Array.from({ length: 5_000 }, () =>
    enter("more", connections.one, { mostWaiting: Infinity }),
  );
  expect(entered).not.toContain(false);
});

test("those who have left while they waited take nobody's turn", async () => {
  const line = createLine({ inTurn: 1 });
  const enter = (key: object, work: (settled: () => void) => void) =>
    line.enter({ group: "a", key, mostWaiting: 1_000 }, work);
  enter(connections.one, () => {});
  for (let i = 0; i < 500; i += 1) enter(connections.two, (settled) => settled());
  let turns = 0;
  const counting = setInterval(() => (turns += 1), 1);
  await new Promise<void>((resolve) => {
    enter({}, () => {});
    enter(connections.two, () => resolve());
  });
  clearInterval(counting);
  expect(turns).toBeLessThan(100);
});

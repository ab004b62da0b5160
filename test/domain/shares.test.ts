import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { shareOut } from "../../src/domain/contacts/shares.ts";
import { createRandom } from "../support/random.ts";

const taker = (fields: { most?: number; has?: number; weight?: number } = {}) => ({
  most: 1_000,
  has: 0,
  weight: 5,
  ...fields,
});

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

describe("things are shared", () => {
  test.each([
    ["evenly among equals, the rest to the first", 7, [taker(), taker(), taker()], [3, 2, 2]],
    ["as each can have them", 10, [taker({ most: 1 }), taker(), taker({ most: 3 })], [1, 6, 3]],
    ["by weight", 30, [taker({ weight: 10 }), taker({ weight: 5 })], [20, 10]],
    ["by what each has already", 10, [taker({ has: 8 }), taker({ has: 2 })], [2, 8]],
    ["by both", 12, [taker({ weight: 10, has: 12 }), taker({ weight: 5 })], [4, 8]],
    ["to nobody who has too many", 2, [taker({ has: 900 }), taker()], [0, 2]],
    ["to nobody who can have none", 3, [taker({ most: -4 }), taker()], [0, 3]],
    ["as far as they are wanted", 50, [taker({ most: 2 }), taker({ most: 3 })], [2, 3]],
    ["among nobody", 5, [], []],
  ])("%s", (_, wanted, takers, shares) => {
    expect(shareOut(wanted, takers, () => 0)).toEqual(shares);
  });

  test("in any case all that are wanted, and to none more than it can have", () => {
    const takers = fc.array(
      fc.record({
        most: fc.integer({ min: -3, max: 20 }),
        has: fc.nat(20),
        weight: fc.integer({ min: 1, max: 10 }),
      }),
    );
    fc.assert(
      fc.property(fc.nat(100), takers, (wanted, all) => {
        const shares = shareOut(wanted, all);
        expect(sum(shares)).toBe(Math.min(wanted, sum(all.map(({ most }) => Math.max(0, most)))));
        for (const [i, { most }] of all.entries()) expect(shares[i]).toBeLessThanOrEqual(Math.max(0, most));
      }),
    );
  });
});

test("what nobody has for long goes round by weight, and passes nobody by for ever", () => {
  const { next: random } = createRandom(1);
  const weights = [10, 5, 1];
  const given = weights.map(() => 0);
  let next = 0;
  for (let asked = 0; asked < 16_000; asked += 1) {
    const order = weights.map((_, i) => (next + i) % weights.length);
    const shares = shareOut(
      1,
      order.map((i) => taker({ weight: weights[i] ?? 1 })),
      random,
    );
    const place = order[shares.indexOf(1)] ?? 0;
    given[place] = (given[place] ?? 0) + 1;
    next = place + 1;
  }
  expect(given.map((count) => Math.round(count / 1_000))).toEqual([10, 5, 1]);
});

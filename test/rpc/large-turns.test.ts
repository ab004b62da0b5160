import { expect, test } from "vitest";
import { createLargeTurns } from "../../src/rpc/requests/large-turns.ts";

const large = 1_000_000;
const [greedy, neighbour] = [1, 2];

test("a small message waits for nobody", async () => {
  const turns = createLargeTurns();
  await turns.take(large, 1);
  expect(await turns.take(1_000, 2)).toBeTypeOf("function");
});

test("large messages are decoded one at a time, and organizations take turns", async () => {
  const turns = createLargeTurns();
  const begun: number[] = [];
  let inHand = 0;
  let mostInHand = 0;
  const decode = async (organization: number) => {
    const settled = await turns.take(large, organization);
    begun.push(organization);
    mostInHand = Math.max(mostInHand, (inHand += 1));
    setImmediate(() => (inHand -= 1));
    settled();
  };
  const all = [...Array.from({ length: 20 }, () => decode(greedy)), decode(neighbour)];
  await Promise.all(all);
  expect(begun.indexOf(neighbour)).toBeLessThanOrEqual(2);
  expect(mostInHand).toBe(1);
});

test("every large message has its turn, however many wait", async () => {
  const turns = createLargeTurns();
  const decode = async (organization: number) => (await turns.take(large, organization))();
  const others = Array.from({ length: 40 }, (_, i) => decode(i + 10));
  const all = Promise.all([...others, ...Array.from({ length: 400 }, () => decode(greedy))]);
  await expect(all).resolves.toHaveLength(440);
});

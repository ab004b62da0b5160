import { describe, expect, test } from "vitest";
import { createWrongKeys } from "../../src/access/wrong-keys.ts";

const times = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));

function watched() {
  let limited = 0;
  const wrongKeys = createWrongKeys(() => (limited += 1));
  return { ...wrongKeys, limited: () => limited };
}

describe("a wrong key", () => {
  test("is told to come later once too many have come from its address, and none from others is", () => {
    const { refusalFor, limited } = watched();
    const reasons = times(22, () => refusalFor("a").reason);
    expect(reasons).toEqual([...times(20, () => "invalid_api_key"), "rate_limited", "rate_limited"]);
    expect(limited()).toBe(2);
    expect(refusalFor("b").reason).toBe("invalid_api_key");
    const refusal = refusalFor("a");
    expect(refusal.message).toMatch(
      /^More than 20 calls with wrong API keys came from this address within a minute, and none with a valid one; a valid key is taken at once, any other in \d+ s\.$/,
    );
    expect(refusal.retryDelayMs).toBeGreaterThan(30_000);
    expect(refusal.retryDelayMs).toBeLessThanOrEqual(60_000);
  });

  test("is refused for what it is where valid ones come from, before and after", () => {
    const { refusalFor, sawValid } = watched();
    const reasons = (address: string) => new Set(times(50, () => refusalFor(address).reason));
    sawValid("a");
    expect(reasons("a")).toEqual(new Set(["invalid_api_key"]));
    expect(reasons("b")).toEqual(new Set(["invalid_api_key", "rate_limited"]));
    sawValid("b");
    expect(reasons("b")).toEqual(new Set(["invalid_api_key"]));
  });

  test("is forgotten after those of ten thousand other addresses, so that memory is bounded", () => {
    const { refusalFor } = watched();
    times(30, () => refusalFor("a"));
    times(10_000, (i) => refusalFor(`other ${i}`));
    expect(refusalFor("a").reason).toBe("invalid_api_key");
  });
});

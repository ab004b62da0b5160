import * as fc from "fast-check";
import { expect, test } from "vitest";
import { takeTokens } from "../../src/timing/bucket.ts";

const step = fc.record({
  afterMs: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 3_000 })),
  want: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 5_000 })),
  most: fc.integer({ min: 0, max: 500 }),
});

test("a bucket gives what one that is counted token by token has, and its upper half beyond the need", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3_000 }), fc.array(step, { maxLength: 60 }), (perSecond, steps) => {
      let has = perSecond;
      let lacksMs = 0;
      for (const { afterMs, want, most } of steps) {
        has = Math.min(perSecond, has + (afterMs * perSecond) / 1_000);
        const taken = takeTokens(Math.max(0, lacksMs - afterMs), { perSecond, want, most });
        const { granted, waitMs } = taken;
        lacksMs = taken.lacksMs;
        const whole = Math.floor(has + 1e-4);
        has -= granted;
        expect(granted).toBeGreaterThanOrEqual(Math.min(want, Math.floor(has + granted - 1e-4)));
        expect(granted).toBeLessThanOrEqual(Math.min(whole, Math.max(want, most)));
        // Beyond the need, the lower half stays for whoever has need of it.
        expect(granted <= want || has > perSecond / 2 - 1).toBe(true);
        // After the wait there is one again, and not long before.
        expect(has + (waitMs * perSecond) / 1_000).toBeGreaterThan(1 - 1e-3);
        expect(waitMs <= 1 || has + ((waitMs - 1) * perSecond) / 1_000 < 1 + 1e-3).toBe(true);
      }
    }),
    { numRuns: 2_000 },
  );
});

test.each([1, 3, 7, 49, 999, 1_000_000])("a full bucket of %i a second holds just as many", (perSecond) => {
  expect(takeTokens(0, { perSecond, want: 2 * perSecond, most: 0 })).toMatchObject({ granted: perSecond });
});

import { pino } from "pino";
import { expect, test } from "vitest";
import { createRefusalLog } from "../../src/rpc/gate/refusal-log.ts";
import { eventually } from "../support/eventually.ts";

test("of calls that are refused together ten are logged, and of the others how many they were, each second", async () => {
  const lines: unknown[] = [];
  const logger = pino({ base: null }, { write: (line) => void lines.push(JSON.parse(line)) });
  const refused = createRefusalLog(logger);
  const expected: unknown[] = [];
  for (const second of [1, 2]) {
    for (let call = 1; call <= 2_000; call += 1) refused({ second, call });
    for (let call = 1; call <= 10; call += 1) expected.push(expect.objectContaining({ second, call }));
    expected.push(expect.objectContaining({ calls: 1_990 }));
    await eventually(() => expect(lines).toEqual(expected));
  }
});

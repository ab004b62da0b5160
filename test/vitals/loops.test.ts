import { pino } from "pino";
import { expect, test } from "vitest";
import { createAlarm } from "../../src/timing/alarm.ts";
import { createMetrics } from "../../src/vitals/metrics.ts";
import { startServiceLoop } from "../../src/vitals/loops.ts";
import { eventually } from "../support/eventually.ts";

/** A loop whose passes do what is given one after another, and then wait for the alarm. */
function runLoop(passes: readonly ("succeeds" | "fails")[]) {
  const lines: string[] = [];
  const logger = pino({ base: null, timestamp: false }, { write: (line) => void lines.push(line) });
  const failures = createMetrics().sweepFailures;
  const retries: boolean[] = [];
  const alarm = createAlarm();
  const loop = startServiceLoop("the work", {
    async pass({ isRetry }) {
      const what = passes[retries.length];
      retries.push(isRetry);
      if (what === "fails") throw new Error("as asked");
      return what === undefined ? Infinity : 0;
    },
    alarm,
    retryMs: 1,
    logger,
    failures,
  });
  return {
    loop,
    alarm,
    failures,
    retries,
    messages: () => lines.map((line) => String(Reflect.get(JSON.parse(line), "msg"))),
  };
}

test("of failures in a row the log has the first and the recovery, and the counter each", async () => {
  const run = runLoop(["fails", "fails", "fails", "succeeds", "fails", "succeeds"]);
  await using _ = run.loop;
  await eventually(() => expect(run.retries).toEqual([false, true, true, true, false, true, false]));
  expect(run.messages()).toEqual([
    "the work fails; it tries again",
    "the work works again",
    "the work fails; it tries again",
    "the work works again",
  ]);
  expect((await run.failures.get()).values[0]?.value).toBe(4);
});

test("a loop that waits for its alarm begins a pass at its ring, and none once it is disposed", async () => {
  const run = runLoop([]);
  await eventually(() => expect(run.retries.length).toBe(1));
  run.alarm.ring();
  await eventually(() => expect(run.retries.length).toBe(2));
  await run.loop[Symbol.asyncDispose]();
  run.alarm.ring();
  expect(run.retries.length).toBe(2);
});

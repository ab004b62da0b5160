import { type Alarm, createAlarm } from "./alarm.ts";

/**
 * Runs a pass again and again, each time after the pause that the last one asked for, until disposed, which waits for
 * the pass in hand. A pass must not throw; it says itself how long to pause after a failure.
 */
export function startLoop(
  pass: (signal: AbortSignal) => Promise<number>,
  alarm: Alarm = createAlarm(),
): AsyncDisposable {
  const stop = new AbortController();
  const ended = (async () => {
    while (!stop.signal.aborted) await alarm.sleep(await pass(stop.signal));
  })();
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      alarm.ring();
      await ended;
    },
  };
}

/** 80 to 120 % of a time, so that replicas do not stay in step. */
export const jittered = (ms: number): number => ms * (0.8 + 0.4 * Math.random());

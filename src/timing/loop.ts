import { type Alarm, createAlarm } from "./alarm.ts";

export type LoopWork = {
  /**
   * Does one pass and answers after how many ms to begin the next; Infinity waits for the alarm. It may throw.
   * `isRetry` says that the pass before it did.
   */
  pass(given: { readonly signal: AbortSignal; readonly isRetry: boolean }): Promise<number>;
  /** Rings to begin a pass early. */
  readonly alarm?: Alarm | undefined;
  /** About how long to wait after a pass that failed. */
  readonly retryMs: number;
  /** Hears of each pass that failed, and of how many have in a row. */
  onFailure(error: unknown, row: number): void;
  /** Hears of the first pass that succeeds after one that failed. */
  onRecovery(): void;
};

/**
 * Runs a pass again and again until disposed, which waits for the pass in hand. After one that failed it tries again,
 * at a jittered distance, until one succeeds.
 */
export function startLoop({
  pass,
  alarm = createAlarm(),
  retryMs,
  onFailure,
  onRecovery,
}: LoopWork): AsyncDisposable {
  const stop = new AbortController();
  const { signal } = stop;
  let failures = 0;

  async function run(): Promise<number> {
    try {
      const pauseMs = await pass({ signal, isRetry: failures > 0 });
      if (failures > 0) onRecovery();
      failures = 0;
      return pauseMs;
    } catch (error) {
      failures += 1;
      onFailure(error, failures);
      return jittered(retryMs);
    }
  }

  const ended = (async () => {
    while (!signal.aborted) await alarm.sleep(await run());
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

/** How long to wait for the next instant at which there is something to do, about `mostMs` at most. */
export const msUntil = (next: Date | null, clock: { now(): number }, mostMs: number): number =>
  Math.max(1, Math.min(jittered(mostMs), next === null ? Infinity : next.getTime() - clock.now()));

/** setTimeout fires at once for anything longer. */
const longestMs = 2 ** 31 - 1;

/** A sleep that can be cut short. A ring while nobody sleeps cuts the next sleep. */
export type Alarm = { sleep(ms: number): Promise<void>; ring(): void };

export function createAlarm(): Alarm {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    async sleep(ms) {
      if (!rung) {
        const { promise, resolve } = Promise.withResolvers<void>();
        const timer = setTimeout(resolve, Math.min(Math.max(0, Math.ceil(ms)), longestMs));
        wake = resolve;
        await promise;
        clearTimeout(timer);
        wake = undefined;
      }
      rung = false;
    },
    ring() {
      rung = true;
      wake?.();
    },
  };
}

/*
 * Loaded before a program (`--import`), it makes the program's own clocks lie: from the start every date is off by
 * CLOCK_SKEW_MS, and every CLOCK_LEAPS_EVERY_MS the monotonic clock leaps ahead by as much, as it does on a machine
 * that is suspended again and again. Timers run as ever.
 */
const skewMs = Number(process.env["CLOCK_SKEW_MS"] ?? 0);
const leapsEveryMs = Number(process.env["CLOCK_LEAPS_EVERY_MS"] ?? Infinity);

const RealDate = Date;
const realNow = Date.now.bind(Date);

class SkewedDate extends RealDate {
  constructor(...given: unknown[]) {
    // oxlint-disable-next-line typescript/no-explicit-any -- Date has one constructor for each way to name an instant
    super(...((given.length === 0 ? [realNow() + skewMs] : given) as [any]));
  }
  static override now(): number {
    return realNow() + skewMs;
  }
}
globalThis.Date = SkewedDate as DateConstructor;

const performanceNow = performance.now.bind(performance);
performance.now = () => {
  const now = performanceNow();
  return now + Math.floor(now / leapsEveryMs) * skewMs;
};

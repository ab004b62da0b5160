import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/** So many cores may be busy with something else as a run begins. */
export const mostLoad = 0.5;

const sampleMs = 500;

/** Of a core, so much may be lent to other machines of the same host while a run goes on. */
export const mostStolen = 0.05;

/**
 * Seconds that all cores together have been busy since the start of the machine, and waiting for its disk; and those
 * of them in which they had work, and the host gave them to other machines.
 */
async function coreSeconds(): Promise<{ busy: number; stolen: number }> {
  const [line = ""] = (await readFile("/proc/stat", "utf8")).split("\n", 1);
  const [user = 0, nice = 0, system = 0, , wait = 0, irq = 0, softirq = 0, steal = 0] = line
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return { busy: (user + nice + system + wait + irq + softirq + steal) / 100, stolen: steal / 100 };
}

/**
 * How many cores are busy, as it is now: the load average of the system would still tell of the run before this one.
 * Where that cannot be known it is 0.
 */
async function load(): Promise<number> {
  try {
    const [before, began] = [await coreSeconds(), performance.now()];
    await delay(sampleMs);
    return ((await coreSeconds()).busy - before.busy) / ((performance.now() - began) / 1000);
  } catch {
    return 0;
  }
}

const stolenSeconds = (): Promise<number> =>
  coreSeconds().then(
    ({ stolen }) => stolen,
    () => 0,
  );

/** Begins to watch; tells then how much of a core has been lent to other machines since, 0 where nobody knows. */
export async function watchStolen(): Promise<() => Promise<number>> {
  const [before, began] = [await stolenSeconds(), performance.now()];
  return async () => ((await stolenSeconds()) - before) / ((performance.now() - began) / 1000);
}

/**
 * Waits until the machine is quiet; answers its load, which is more than `mostLoad` if it did not become so in time.
 */
export async function untilQuiet(patienceMs: number): Promise<number> {
  const until = performance.now() + patienceMs;
  for (;;) {
    const now = await load();
    if (now <= mostLoad || performance.now() > until) return now;
  }
}

import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/** So many cores may be busy with something else as a run begins. */
export const mostLoad = 0.5;

const sampleMs = 500;

/** Of a core, so much may be lent to other machines of the same host while a run goes on. */
export const mostStolen = 0.05;

/**
 * Seconds that all cores together have been busy since the start of the machine, and waiting for its disk; and those
 * of them in which they had work, and the host gave them to other machines. 0 where that cannot be known.
 */
async function coreSeconds(): Promise<{ busy: number; stolen: number }> {
  const stat = await readFile("/proc/stat", "utf8").catch(() => "");
  const [line = ""] = stat.split("\n", 1);
  const [user = 0, nice = 0, system = 0, , wait = 0, irq = 0, softirq = 0, steal = 0] = line
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return { busy: (user + nice + system + wait + irq + softirq + steal) / 100, stolen: steal / 100 };
}

/** Begins to watch; tells then how many cores have been busy since, and how many of them lent to other machines. */
export async function watchCores(): Promise<() => Promise<{ busy: number; stolen: number }>> {
  const [before, began] = [await coreSeconds(), performance.now()];
  return async () => {
    const [now, seconds] = [await coreSeconds(), (performance.now() - began) / 1000];
    return { busy: (now.busy - before.busy) / seconds, stolen: (now.stolen - before.stolen) / seconds };
  };
}

/** How many cores are busy, as it is now: the system's load average would still tell of the run before this one. */
async function load(): Promise<number> {
  const watched = await watchCores();
  await delay(sampleMs);
  return (await watched()).busy;
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

import { setTimeout as delay } from "node:timers/promises";

/** Tries again until `fn` does not throw; after the deadline its last error is thrown. */
export async function eventually<T>(fn: () => T | Promise<T>, deadlineMs = 10_000): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    try {
      return await fn();
    } catch (error) {
      if (performance.now() >= deadline) throw error;
      await delay(10);
    }
  }
}

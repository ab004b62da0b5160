import { setTimeout as delay } from "node:timers/promises";

/**
 * Tries again until `fn` does not throw; after the deadline its last error is thrown. It rests as long as a try takes,
 * so that looking does not slow down what is looked at.
 */
export async function eventually<T>(fn: () => T | Promise<T>, deadlineMs = 10_000): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const began = performance.now();
    try {
      return await fn();
    } catch (error) {
      if (performance.now() >= deadline) throw error;
      await delay(Math.max(10, performance.now() - began));
    }
  }
}

import { useEffect, useState } from "preact/hooks";
import { pauseBefore } from "./connection.ts";
import { type Refusal, refusalOf } from "./refusal.ts";

/** What was loaded last, which stays while the next is on its way, and why the last try was refused. */
export type Loaded<T> = {
  readonly data: T | undefined;
  readonly refusal: Refusal | undefined;
  readonly isStale: boolean;
};

/**
 * Loads whenever one of `inputs` changes. While the service is away, or too busy, it tries again by itself; any other
 * refusal is shown and not repeated.
 */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, inputs: readonly unknown[]): Loaded<T> {
  const [loaded, setLoaded] = useState<Loaded<T>>({ data: undefined, refusal: undefined, isStale: true });
  useEffect(() => {
    const stop = new AbortController();
    setLoaded((before) => ({ ...before, isStale: true }));
    const settle = (result: { data?: T; refusal?: Refusal }) => {
      if (stop.signal.aborted) return;
      setLoaded((before) => ({ data: before.data, refusal: undefined, ...result, isStale: false }));
    };
    void untilLoaded(load, stop.signal).then(settle);
    return () => stop.abort();
  }, inputs);
  return loaded;
}

async function untilLoaded<T>(
  load: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<{ data?: T; refusal?: Refusal }> {
  for (let failures = 0; ; failures++) {
    try {
      return { data: await load(signal) };
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal.isPassing || signal.aborted) return { refusal };
      await pauseBefore(failures, signal);
    }
  }
}

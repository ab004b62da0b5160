import { effect, signal } from "@preact/signals";
import { inBase } from "../page/base.ts";
import { pauseBefore } from "../page/pause.ts";

/** Since when the service has not answered; undefined while it does. */
export const awaySince = signal<Date | undefined>(undefined);

export function noteAnswer(): void {
  awaySince.value = undefined;
}

export function noteNoAnswer(): void {
  awaySince.value ??= new Date();
}

/** While the service is away it is asked whether it is back, also by views that ask for nothing else. */
effect(() => {
  if (awaySince.value === undefined) return;
  const stop = new AbortController();
  void untilReady(stop.signal);
  return () => stop.abort();
});

async function untilReady(stop: AbortSignal): Promise<void> {
  for (let failures = 0; !stop.aborted; failures++) {
    await pauseBefore(failures, stop);
    try {
      const { ok } = await fetch(inBase("readyz"), { signal: stop, cache: "no-store" });
      if (ok && !stop.aborted) noteAnswer();
    } catch {
      // It is still away.
    }
  }
}

const longestPauseMs = 4_000;

/** Waits before the next try, longer each time, and no longer than until the network is back or `until` aborts. */
export function pauseBefore(attempt: number, until: AbortSignal): Promise<void> {
  const pauseMs = Math.min(250 * 2 ** attempt, longestPauseMs) * (0.5 + Math.random() / 2);
  return waitFor(pauseMs, until);
}

/** Resolves after so long, or as soon as the browser is online again or `until` aborts. */
export function waitFor(pauseMs: number, until: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => {
    clearTimeout(timer);
    removeEventListener("online", done);
    until.removeEventListener("abort", done);
    resolve();
  };
  const timer = setTimeout(done, pauseMs);
  addEventListener("online", done);
  until.addEventListener("abort", done);
  if (until.aborted) done();
  return promise;
}

/** A page that nobody sees gives its connection back: a browser has six for all tabs together. */
const hiddenMs = 30_000;

/** Calls `stop` once nobody has seen the page for a while; answers how to forget that. */
export function stopWhenHidden(stop: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(stop, hiddenMs);
  };
  document.addEventListener("visibilitychange", look);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}

/** Resolves when the page is seen, or the signal aborts. */
export async function untilSeen(signal: AbortSignal): Promise<void> {
  if (!document.hidden) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  document.addEventListener("visibilitychange", () => resolve(), { signal, once: true });
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
}

/**
 * Does it for each, so many at a time, until all are done or the signal aborts: then no other begins, and it resolves
 * once what is under way has ended.
 */
export async function each<T>(
  items: readonly T[],
  { atOnce, signal }: { atOnce: number; signal: AbortSignal },
  doIt: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  const work = async (): Promise<void> => {
    for (const item of rest) {
      if (signal.aborted) return;
      await doIt(item);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

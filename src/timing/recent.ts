/** A map that forgets what was set longest ago, once it holds more than `most`. */
export function createRecent<K, V>(most: number) {
  const kept = new Map<K, V>();
  return {
    get: (key: K): V | undefined => kept.get(key),
    delete: (key: K): boolean => kept.delete(key),
    get size(): number {
      return kept.size;
    },
    entries: (): IterableIterator<[K, V]> => kept.entries(),
    set(key: K, value: V): void {
      kept.delete(key);
      kept.set(key, value);
      for (const oldest of kept.keys()) {
        if (kept.size <= most) return;
        kept.delete(oldest);
      }
    },
  };
}

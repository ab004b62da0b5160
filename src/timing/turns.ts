/** Lets so many pieces of work be done at once; the others wait, in the order in which they came. */
export function createTurns(atOnce: number) {
  const waiting: (() => void)[] = [];
  let active = 0;
  return async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (active < atOnce) active += 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) active -= 1;
      else next();
    }
  };
}

/** Does the pieces of work of each key one after the other. */
export function createTurnsByKey<K>() {
  type Turns = { readonly inTurn: ReturnType<typeof createTurns>; inHand: number };
  const byKey = new Map<K, Turns>();
  return async function inTurnOf<T>(key: K, work: () => Promise<T>): Promise<T> {
    const turns = byKey.get(key) ?? { inTurn: createTurns(1), inHand: 0 };
    byKey.set(key, turns);
    turns.inHand += 1;
    try {
      return await turns.inTurn(work);
    } finally {
      turns.inHand -= 1;
      if (turns.inHand === 0) byKey.delete(key);
    }
  };
}

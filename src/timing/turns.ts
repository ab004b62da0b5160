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

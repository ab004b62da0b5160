const ticks = 20;

/**
 * Calls back after a time that this process has lived through; the answer calls it off. A stall of the process itself,
 * however long, counts as a twentieth of the time at most, and what has arrived meanwhile is read before the call.
 */
export function afterPatience(ms: number, callback: () => void): () => void {
  let left = ticks;
  let turn: NodeJS.Immediate | undefined;
  const timer = setInterval(() => {
    left -= 1;
    if (left > 0) return;
    clearInterval(timer);
    // Timers go before sockets; an answer may take more than one reading.
    turn = setImmediate(() => (turn = setImmediate(callback)));
  }, ms / ticks);
  return () => {
    clearInterval(timer);
    clearImmediate(turn);
  };
}

/** What the work comes to, or the error once patience with it is over; the work goes on all the same. */
export async function patiently<T>(ms: number, work: Promise<T>, toError: () => Error): Promise<T> {
  const { promise: over, reject } = Promise.withResolvers<never>();
  const callOff = afterPatience(ms, () => reject(toError()));
  try {
    return await Promise.race([work, over]);
  } finally {
    callOff();
  }
}

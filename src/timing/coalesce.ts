import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";

type Pace = { readonly atOnce?: number; readonly everyMs?: number };

/**
 * Makes one call out of those that come while others run: `work` gets what has gathered meanwhile, at most `largest`
 * at a time, and answers each in its place. If it throws, all of them fail. `atOnce` calls of `work` run at the same
 * time, and one begins each `everyMs` at most, with all that have come by then.
 */
export function coalesce<I, O>(
  work: (items: readonly I[]) => Promise<readonly O[]>,
  largest: number,
  { atOnce = 1, everyMs = 0 }: Pace = {},
) {
  type Waiting = { item: I; resolve: (answer: O) => void; reject: (error: unknown) => void };
  let waiting: Waiting[] = [];
  let running = 0;
  let nextMs = -Infinity;

  async function waitForTurn(): Promise<void> {
    const nowMs = performance.now();
    const startMs = Math.max(nowMs, nextMs);
    nextMs = startMs + everyMs;
    if (startMs > nowMs) await delay(startMs - nowMs);
  }

  async function runAll(): Promise<void> {
    running += 1;
    // What came with the same packet comes along.
    await nextTurn();
    while (waiting.length > 0) {
      if (everyMs > 0) await waitForTurn();
      const batch = waiting.splice(0, largest);
      if (batch.length === 0) break;
      try {
        const answers = await work(batch.map(({ item }) => item));
        for (const [i, { resolve, reject }] of batch.entries()) {
          const answer = answers[i];
          if (answer === undefined) reject(new Error("a coalesced call was left without an answer"));
          else resolve(answer);
        }
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    running -= 1;
  }

  return (item: I): Promise<O> =>
    new Promise<O>((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (running < atOnce) void runAll();
    });
}

/** A coalesce for each key, which is there for as long as calls are in hand. */
export function coalesceByKey<K, I, O>(
  work: (key: K, items: readonly I[]) => Promise<readonly O[]>,
  largest: number,
  pace?: Pace,
) {
  type Queue = { readonly call: (item: I) => Promise<O>; inHand: number };
  const queues = new Map<K, Queue>();

  return async (key: K, item: I): Promise<O> => {
    const queue = queues.get(key) ?? {
      call: coalesce((items) => work(key, items), largest, pace),
      inHand: 0,
    };
    queues.set(key, queue);
    queue.inHand += 1;
    try {
      return await queue.call(item);
    } finally {
      queue.inHand -= 1;
      if (queue.inHand === 0) queues.delete(key);
    }
  };
}

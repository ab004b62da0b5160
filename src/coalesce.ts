/**
 * Makes one call out of those that come while another one runs: `work` gets what has gathered meanwhile, at most
 * `largest` at a time, and answers each in its place. If it throws, all of them fail.
 */
export function coalesce<I, O>(work: (items: readonly I[]) => Promise<readonly O[]>, largest: number) {
  type Waiting = { item: I; resolve: (answer: O) => void; reject: (error: unknown) => void };
  let waiting: Waiting[] = [];
  let isRunning = false;

  async function runAll(): Promise<void> {
    isRunning = true;
    while (waiting.length > 0) {
      const batch = waiting.splice(0, largest);
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
    isRunning = false;
  }

  return (item: I): Promise<O> =>
    new Promise<O>((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (!isRunning) void runAll();
    });
}

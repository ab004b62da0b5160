import { setTimeout as delay } from "node:timers/promises";
import { jittered } from "../../timing/loop.ts";
import { type UrlVariable, type Use, checkDatabase } from "./fitness.ts";
import { obstacleOf } from "./obstacle.ts";

const shortestPauseMs = 100;
const longestPauseMs = 5_000;

/**
 * Does the work once Postgres can be used, and again while it fails for what passes by itself; what does not is thrown
 * as one sentence. `waitsFor` hears each new sentence, and undefined when the work is done after all. The pauses grow.
 * The signal ends the wait, by throwing its reason.
 */
export async function onceUsable<T>(
  url: string,
  options: {
    signal: AbortSignal;
    waitsFor: (sentence: string | undefined) => void;
    variable?: UrlVariable;
    use?: Use;
  },
  work: () => Promise<T>,
): Promise<T> {
  const { signal, waitsFor, variable, use } = options;
  let last: string | undefined;
  for (let pauseMs = shortestPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    try {
      await checkDatabase(url, variable, use, signal);
      const result = await work();
      if (last !== undefined) waitsFor(undefined);
      return result;
    } catch (error) {
      signal.throwIfAborted();
      const { passes, sentence } = obstacleOf(error, url, variable);
      if (!passes) throw new Error(sentence, { cause: error });
      if (sentence !== last) waitsFor(sentence);
      last = sentence;
    }
    await delay(jittered(pauseMs), undefined, { signal }).catch(() => {});
    signal.throwIfAborted();
  }
}

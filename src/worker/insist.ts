import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";

const firstPauseMs = 250;
const longestPauseMs = 10_000;

/** These come from the worker's own configuration; trying again does not help. */
const hopeless: ReadonlySet<Code> = new Set([
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.InvalidArgument,
]);

export const isHopeless = ({ code }: ConnectError): boolean => hopeless.has(code);

/** Repeats a request that is safe to repeat until it succeeds, can never succeed, or `until` aborts. */
export async function insist<T>(
  request: () => Promise<T>,
  { onError, until }: { onError?: ((error: ConnectError) => void) | undefined; until?: AbortSignal },
): Promise<T> {
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    try {
      return await request();
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      if (until?.aborted || isHopeless(error)) throw error;
      onError?.(error);
      await delay(pauseMs * (0.5 + Math.random()), undefined, until === undefined ? {} : { signal: until });
    }
  }
}

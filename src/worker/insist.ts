import { setTimeout as delay } from "node:timers/promises";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "../gen/google/rpc/error_details_pb.ts";

const firstPauseMs = 250;
const longestPauseMs = 10_000;

/** These come from the worker's own configuration; trying again does not help. */
const hopeless: ReadonlySet<Code> = new Set([
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.InvalidArgument,
]);

export const isHopeless = ({ code }: ConnectError): boolean => hopeless.has(code);

/** How long the service asks to wait. */
function askedMs(error: ConnectError): number {
  const [retry] = error.findDetails(RetryInfoSchema);
  return retry?.retryDelay === undefined ? 0 : durationMs(retry.retryDelay);
}

/**
 * Repeats a request that is safe to repeat until it succeeds, can never succeed, or `until` aborts: after as long as
 * the service asks for, and ever less often while it is away.
 */
export async function insist<T>(
  request: () => Promise<T>,
  { onError, until }: { onError?: ((error: ConnectError) => void) | undefined; until?: AbortSignal },
): Promise<T> {
  for (let pauseMs = firstPauseMs; ;) {
    try {
      return await request();
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      if (until?.aborted || isHopeless(error)) throw error;
      onError?.(error);
      const waitMs = Math.max(pauseMs * (0.5 + Math.random()), askedMs(error) * (1 + Math.random() / 2));
      // One that says when it has room is there.
      if (error.code !== Code.ResourceExhausted) pauseMs = Math.min(2 * pauseMs, longestPauseMs);
      await delay(waitMs, undefined, until === undefined ? {} : { signal: until });
    }
  }
}

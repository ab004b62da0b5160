import type { Interceptor } from "@connectrpc/connect";
import { asConnectError } from "../calls/last-resort.ts";

type Response = Awaited<ReturnType<ReturnType<Interceptor>>>;

/**
 * Answers a call with a single answer whose deadline has come, or whose client has gone, without waiting for its
 * handler. It goes inside what observes calls, so that such an end is seen as any other, and outside what counts
 * handlers.
 */
export const answerInTime: Interceptor = (next) => async (request) => {
  const { methodKind } = request.method;
  if (methodKind === "server_streaming" || methodKind === "bidi_streaming") return await next(request);
  const { signal } = request;
  const { promise: over, reject } = Promise.withResolvers<never>();
  const abort = () => reject(asConnectError(signal.reason, signal));
  signal.addEventListener("abort", abort);
  const response = next(request);
  try {
    return await Promise.race([response, over]);
  } catch (thrown) {
    response.then(readAway, () => {});
    throw thrown;
  } finally {
    signal.removeEventListener("abort", abort);
  }
};

/** An answer that nobody waits for any more still has to end. */
async function readAway(response: Response): Promise<void> {
  if (!response.stream) return;
  try {
    for await (const _ of response.message);
  } catch {
    // It has no caller.
  }
}

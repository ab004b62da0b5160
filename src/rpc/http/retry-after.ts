import { ConnectError, type Interceptor } from "@connectrpc/connect";
import { retryAfterOf } from "../errors.ts";

/** The error, which says in a header too when to try again: plain HTTP clients and proxies know that. */
export function withRetryAfter(error: ConnectError): ConnectError {
  const seconds = retryAfterOf(error);
  if (seconds !== undefined) error.metadata.set("retry-after", seconds);
  return error;
}

/** Says so of what handlers refuse. */
export const retryAfter: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (thrown) {
    throw thrown instanceof ConnectError ? withRetryAfter(thrown) : thrown;
  }
};

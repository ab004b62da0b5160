import { Code, ConnectError } from "@connectrpc/connect";

/**
 * Turns whatever a handler threw into what a client may see: a ConnectError as it is; after an abort the reason of that
 * abort; anything else is a bug, and its text stays here.
 */
export function asConnectError(thrown: unknown, signal: AbortSignal): ConnectError {
  if (thrown instanceof ConnectError) return wellFormed(thrown);
  if (signal.aborted && signal.reason instanceof ConnectError) return signal.reason;
  return new ConnectError("internal error", Code.Internal);
}

/** Half a surrogate pair has no UTF-8 form: writing it into a trailer would throw. */
function wellFormed(error: ConnectError): ConnectError {
  if (error.rawMessage.isWellFormed()) return error;
  return Object.assign(new ConnectError(error.rawMessage.toWellFormed(), error.code, error.metadata), {
    details: error.details,
  });
}

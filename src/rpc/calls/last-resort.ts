import { Code, ConnectError } from "@connectrpc/connect";

/** Nobody reads it, but it is counted, and is nobody's mistake. */
export const clientLeft = () => new ConnectError("the client has left", Code.Canceled);

/** What Node says of an answer that cannot be written any more. */
const unwritable = new Set([
  "ECONNRESET",
  "EPIPE",
  "ERR_STREAM_DESTROYED",
  "ERR_STREAM_PREMATURE_CLOSE",
  "ERR_STREAM_WRITE_AFTER_END",
]);

/** Whether this was thrown because the call was over already: nobody hears it, and it is no bug. */
export const isOfItsEnd = (thrown: unknown, signal: AbortSignal): boolean =>
  signal.aborted &&
  (thrown === signal.reason ||
    (thrown instanceof Error &&
      (thrown.name === "AbortError" || ("code" in thrown && unwritable.has(String(thrown.code))))));

/**
 * Turns whatever a handler threw into what a client may see: a ConnectError as it is; after an abort the reason of that
 * abort; anything else is a bug, and its text stays here.
 */
export function asConnectError(thrown: unknown, signal: AbortSignal): ConnectError {
  if (thrown instanceof ConnectError) return wellFormed(thrown);
  if (signal.aborted && signal.reason instanceof ConnectError) return signal.reason;
  if (isOfItsEnd(thrown, signal)) return clientLeft();
  return new ConnectError("internal error", Code.Internal);
}

/** Half a surrogate pair has no UTF-8 form: writing it into a trailer would throw. */
function wellFormed(error: ConnectError): ConnectError {
  if (error.rawMessage.isWellFormed()) return error;
  return Object.assign(new ConnectError(error.rawMessage.toWellFormed(), error.code, error.metadata), {
    details: error.details,
  });
}

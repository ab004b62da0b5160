import type { IncomingMessage } from "node:http";

/** More than clients and browsers send, with what proxies add. */
const mostHeaders = 32;

/** The headers that something here reads, or the protocols do. */
const readHeaders = new Set(
  (
    "accept-encoding authorization content-encoding content-length content-type host idempotency-key " +
    "traceparent tracestate connect-protocol-version connect-timeout-ms connect-content-encoding " +
    "connect-accept-encoding grpc-timeout grpc-encoding grpc-accept-encoding"
  ).split(" "),
);

/**
 * Of more headers than usual those alone are left that are read: Connect has each of them looked through by the
 * character, which takes longer than to refuse the call.
 */
export function leaveWhatIsRead(request: IncomingMessage): void {
  const headers = Object.entries(request.headers);
  if (headers.length <= mostHeaders) return;
  const read = headers.filter(([name]) => readHeaders.has(name));
  Object.defineProperty(request, "headers", { value: Object.fromEntries(read) });
}

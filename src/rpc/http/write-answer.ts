import type { ServerResponse } from "node:http";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";

/** Writes one piece; resolves when there is room for the next one. */
const write = (response: ServerResponse, piece: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => {
    response.write(piece, (error) => (error ? reject(error) : resolve()));
  });

/**
 * Writes an answer of Connect's handlers as they make it, at the pace at which its client reads, and at once, whatever
 * is still to come of the request. Rejects if it could not be written to its end; then what makes it is ended, too.
 */
export async function writeAnswer(
  { status, header, body, trailer }: UniversalServerResponse,
  response: ServerResponse,
): Promise<void> {
  const pieces = body?.[Symbol.asyncIterator]();
  try {
    // Headers may be set until the first piece is there.
    let piece = await pieces?.next();
    if (header !== undefined) response.setHeaders(new Headers(header));
    response.writeHead(status);
    for (; piece?.done === false; piece = await pieces?.next()) await write(response, piece.value);
    if (trailer !== undefined) response.addTrailers([...new Headers(trailer)]);
    response.end();
  } finally {
    pieces?.return?.().catch(() => {});
  }
}

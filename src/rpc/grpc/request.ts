import { constants, type ServerHttp2Stream } from "node:http2";
import { ConnectError } from "@connectrpc/connect";
import type { Hold } from "../requests/bytes-in-hand.ts";
import { type RequestLimits, tooSlow } from "../requests/limits.ts";

/** Looks after the request of one call while it arrives. */
export type RequestWatch = {
  /** A message is whole, and has so many bytes once it is decompressed. */
  received(bytes: number): void;
  /** Nobody needs the last message any more. */
  consumed(): void;
  /** There is no more to come. */
  complete(): void;
  /** The call is over; a client that still sends is stopped. */
  end(): void;
};

/** What a frame costs beside its bytes. */
const frameBytes = 200;

/** A client that was answered while it still sends has this long to see why. */
const farewellMs = 2_000;

/** Cuts the call if its request takes too long, or has more bytes than the replica can hold now. */
export function watchRequest(
  stream: ServerHttp2Stream,
  options: { limits: RequestLimits; hold: Hold; cut: (reason: ConnectError) => void },
): RequestWatch {
  const { limits, hold, cut } = options;
  const { arriveMs } = limits;
  const timer = arriveMs === undefined ? undefined : setTimeout(() => cut(tooSlow(arriveMs)), arriveMs);
  let sentBytes = 0;

  function holdBytes(bytes: number): void {
    try {
      hold.set(bytes);
    } catch (thrown) {
      cut(ConnectError.from(thrown));
    }
  }

  // grpc-js gathers these until a message is whole.
  stream.on("data", (chunk: Buffer) => holdBytes((sentBytes += chunk.length + frameBytes)));

  return {
    received: (bytes) => holdBytes(Math.max(sentBytes, bytes)),
    consumed: () => holdBytes((sentBytes = 0)),
    complete: () => clearTimeout(timer),
    end() {
      clearTimeout(timer);
      hold.release();
      if (stream.readableEnded || stream.closed) return;
      const farewell = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), farewellMs).unref();
      // Else all that there is of a refused call would live as long.
      stream.once("close", () => clearTimeout(farewell));
    },
  };
}

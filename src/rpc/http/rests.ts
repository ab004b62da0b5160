import type { IncomingMessage } from "node:http";
import { cutOff } from "./over-http2.ts";

/** A client that was answered while it still sends has this long to see why. */
const farewellMs = 10_000;

/** So much is read away in a second, of all requests together: a large one that was refused has left in a moment. */
const bytesPerSecond = 16 * 1024 * 1024;
/** Node has one chunk of each request ready at a time. */
const everyMs = 4;
const mostAtOnce = (bytesPerSecond * everyMs) / 1_000;

/**
 * Reads away what is left of requests that were answered before they had arrived. Clients that send without listening
 * see their answer then; but what nobody wants is read slowly enough to cost others next to nothing, each request in
 * its turn.
 */
export function createRests() {
  /** In the order of their turns. */
  const requests = new Set<IncomingMessage>();
  let timer: NodeJS.Timeout | undefined;
  /** Negative where a chunk was larger than what was left. */
  let left = 0;

  function readSome(): void {
    left = Math.min(mostAtOnce, left + mostAtOnce);
    let dry = 0;
    while (left > 0 && dry < requests.size) {
      const [request] = requests;
      if (request === undefined) break;
      requests.delete(request);
      if (request.complete || request.destroyed) {
        request.resume();
        continue;
      }
      requests.add(request);
      const chunk = request.read() as Buffer | null;
      left -= chunk?.length ?? 0;
      dry = chunk === null ? dry + 1 : 0;
    }
    if (requests.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  /** To be called before Node itself sees that the answer has left: it would read all there is. */
  return function readAway(request: IncomingMessage): void {
    if (request.complete) return void request.resume();
    // Node leaves alone what somebody reads.
    request.read(0);
    request.pause();
    requests.add(request);
    timer ??= setInterval(readSome, everyMs).unref();
    setTimeout(() => request.complete || cutOff(request), farewellMs).unref();
  };
}

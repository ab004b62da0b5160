import type { IncomingMessage } from "node:http";
import { cutOff, type Rest, restOf } from "./over-http2.ts";

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
  const rests = new Set<Rest>();
  let timer: NodeJS.Timeout | undefined;
  /** Negative where a chunk was larger than what was left. */
  let left = 0;

  function readSome(): void {
    left = Math.min(mostAtOnce, left + mostAtOnce);
    let dry = 0;
    while (left > 0 && dry < rests.size) {
      const [rest] = rests;
      if (rest === undefined) break;
      const { body, isWhole } = rest;
      rests.delete(rest);
      if (isWhole() || body.destroyed) {
        body.resume();
        continue;
      }
      rests.add(rest);
      const chunk = body.read() as Buffer | null;
      left -= chunk?.length ?? 0;
      dry = chunk === null ? dry + 1 : 0;
    }
    if (rests.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  /** To be called before Node itself sees that the answer has left: it would read all there is. */
  return function readAway(request: IncomingMessage): void {
    const rest = restOf(request);
    const { body, isWhole } = rest;
    if (isWhole()) return void body.resume();
    // Node leaves alone what somebody reads.
    body.read(0);
    body.pause();
    rests.add(rest);
    timer ??= setInterval(readSome, everyMs).unref();
    setTimeout(() => isWhole() || cutOff(request), farewellMs).unref();
  };
}

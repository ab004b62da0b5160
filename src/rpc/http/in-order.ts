import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** A client that writes more requests than this without waiting for an answer is no client. */
const mostWaiting = 128;

type Lane = { isBusy: boolean; readonly waiting: (() => void)[] };

/**
 * Begins the requests of each connection one after the other, as their answers go out in that order. Node hands over
 * all that a client has written without waiting for their answers, which would be made, and kept for it, at once.
 */
export function createOrder() {
  const lanes = new WeakMap<Socket, Lane>();

  return function inOrder(request: IncomingMessage, response: ServerResponse, begin: () => void): void {
    // Over HTTP/2 answers go out as they come, and streams are few.
    if (request.httpVersionMajor > 1) return begin();
    const { socket } = request;
    const lane = lanes.get(socket) ?? { isBusy: false, waiting: [] };
    lanes.set(socket, lane);
    function start(): void {
      lane.isBusy = true;
      response.once("close", () => {
        lane.isBusy = false;
        if (!socket.destroyed) lane.waiting.shift()?.();
      });
      begin();
    }
    if (!lane.isBusy) start();
    else if (lane.waiting.length < mostWaiting) lane.waiting.push(start);
    else socket.destroy();
  };
}

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { LateEnds } from "../calls/late-ends.ts";

/** A client that writes more requests than this without waiting for an answer is no client. */
const mostWaiting = 128;

type Lane = { isBusy: boolean; isOver: boolean; waiting: (() => void)[] };

/**
 * Begins the requests of each connection one after the other, as their answers go out in that order. Node hands over
 * all that a client has written without waiting for their answers, which would be made, and kept for it, at once.
 */
export function createOrder(lateEnds: LateEnds) {
  const lanes = new WeakMap<Socket, Lane>();

  /** Reads nothing more, begins nothing more, and closes the connection in a while. */
  function hold(socket: Socket, lane: Lane): void {
    lane.isOver = true;
    lane.waiting = [];
    lateEnds.end(socket, () => socket.destroy());
    // What is read of a request that was begun would have the connection read on.
    socket.pause().resume = () => socket;
  }

  return function inOrder(request: IncomingMessage, response: ServerResponse, begin: () => void): void {
    // Over HTTP/2 answers go out as they come, and streams are few.
    if (request.httpVersionMajor > 1) return begin();
    const { socket } = request;
    const lane = lanes.get(socket) ?? { isBusy: false, isOver: false, waiting: [] };
    // The rest of what came with one read.
    if (lane.isOver) return;
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
    else hold(socket, lane);
  };
}

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** A client that writes more requests than this without waiting for an answer is no client. */
const mostWaiting = 128;

/** It may come back so much later: at once it would have as much read again, and again. */
const closedAfterMs = 1_000;
/** So many such connections are kept open for that; further ones are closed at once. */
const mostHeld = 1_000;

type Lane = { isBusy: boolean; isOver: boolean; waiting: (() => void)[] };

/**
 * Begins the requests of each connection one after the other, as their answers go out in that order. Node hands over
 * all that a client has written without waiting for their answers, which would be made, and kept for it, at once.
 */
export function createOrder() {
  const lanes = new WeakMap<Socket, Lane>();
  let held = 0;

  /** Reads nothing more, begins nothing more, and closes the connection in a while. */
  function hold(socket: Socket, lane: Lane): void {
    lane.isOver = true;
    lane.waiting = [];
    if (held === mostHeld) return void socket.destroy();
    held += 1;
    // What is read of a request that was begun would have the connection read on.
    socket.pause().resume = () => socket;
    const timer = setTimeout(() => socket.destroy(), closedAfterMs).unref();
    socket.once("close", () => {
      held -= 1;
      clearTimeout(timer);
    });
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

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { LateEnds } from "../calls/late-ends.ts";

/** A client that writes more requests than this without waiting for an answer is no client. */
const mostWaiting = 128;

type Lane = { isBusy: boolean; isOver: boolean; waiting: (() => void)[] };

export type Order = {
  /** Begins the requests of each connection one after the other, as their answers go out in that order. */
  take(this: void, request: IncomingMessage, response: ServerResponse, begin: () => void): void;
  /** Whether requests on it are read no more; what Node hands over still came with one read of those before. */
  isOver(this: void, socket: Socket): boolean;
};

/** Node hands over all that a client has written without waiting for answers; they would be made, and kept, at once. */
export function createOrder(lateEnds: LateEnds): Order {
  const lanes = new WeakMap<Socket, Lane>();

  /** Reads nothing more, begins nothing more, and closes the connection in a while. */
  function hold(socket: Socket, lane: Lane): void {
    lane.isOver = true;
    lane.waiting = [];
    lateEnds.end(socket, () => socket.destroy());
    // What is read of a request that was begun would have the connection read on.
    socket.pause().resume = () => socket;
    withoutStacks(socket);
  }

  function take(request: IncomingMessage, response: ServerResponse, begin: () => void): void {
    // Over HTTP/2 answers go out as they come, and streams are few.
    if (request.httpVersionMajor > 1) return begin();
    const { socket } = request;
    const lane = lanes.get(socket) ?? { isBusy: false, isOver: false, waiting: [] };
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
  }
  return { take, isOver: (socket) => lanes.get(socket)?.isOver === true };
}

/** Node has an error for each request of a connection that closes. Its stack would take longer than the request did. */
function withoutStacks(socket: Socket): void {
  let limit = 0;
  socket.prependOnceListener("close", () => {
    limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
  });
  socket.once("close", () => void (Error.stackTraceLimit = limit));
}

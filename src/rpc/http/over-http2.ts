import type { IncomingMessage, ServerResponse } from "node:http";
import { constants, type Http2ServerRequest, Http2ServerResponse, type ServerHttp2Session } from "node:http2";
import type { Readable } from "node:stream";
import type { Sessions } from "../calls/connection-age.ts";
import type { LateEnds } from "../calls/late-ends.ts";

/** A client that has not answered a ping for so long is gone. */
const pingMs = 20_000;

/**
 * Makes of Node's response over HTTP/2 what answers rely on with HTTP/1.1. `connection: close` needs nothing: Node
 * leaves it out.
 */
export class AnswerOverHttp2 extends Http2ServerResponse {
  setHeaders(headers: Headers | Map<string, string | readonly string[]>): this {
    for (const [name, value] of headers) this.setHeader(name, value);
    return this;
  }

  /** Breaks off so that nobody takes what came for the whole answer. */
  override destroy(): this {
    if (!this.stream.closed) this.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return this;
  }
}

/** Ends connections that have nothing to do for so long, and those whose clients have gone without a word. */
export function closeIdleSessions(server: Sessions, idleMs: number): void {
  server.on("session", (session) => {
    let streams = 0;
    session.on("stream", (stream) => {
      streams += 1;
      stream.once("close", () => (streams -= 1));
    });
    session.setTimeout(idleMs, () => {
      if (streams === 0) session.close();
      else ping(session);
    });
  });
}

function ping(session: ServerHttp2Session): void {
  const timer = setTimeout(() => session.destroy(), pingMs).unref();
  session.ping(() => clearTimeout(timer));
}

type Connection = {
  /** The same object for all requests of the connection. */
  readonly key: object;
  readonly address: string | undefined;
  turnAway(this: void, what: "call" | "connection"): void;
};

const streamOf = (request: IncomingMessage): Http2ServerRequest["stream"] | undefined =>
  (request as unknown as Partial<Http2ServerRequest>).stream;

/** What a request came on. */
export function connectionOf(request: IncomingMessage, lateEnds: LateEnds): Connection {
  const { socket } = request;
  const address = socket.remoteAddress;
  const stream = streamOf(request);
  const session = stream?.session;
  // Over HTTP/1.1 only who writes requests without waiting for their answers has too many.
  if (stream === undefined || session === undefined)
    return { key: socket, address, turnAway: () => socket.destroy() };
  return {
    key: session,
    address,
    turnAway(what) {
      if (what === "call") return stream.close(constants.NGHTTP2_REFUSED_STREAM);
      lateEnds.endFor(session, stream);
    },
  };
}

/**
 * Calls back once all of the answer is written, before Node's own listeners. Its response over HTTP/2 "finishes" when
 * its stream is closed.
 */
export function onceWritten(request: IncomingMessage, response: ServerResponse, then: () => void): void {
  const stream = streamOf(request);
  if (stream === undefined) response.prependOnceListener("finish", then);
  else stream.once("finish", then);
}

/**
 * Whether what was written has gone to the client, at the moment that its response "finishes": it does so when it was
 * broken off, too.
 */
export function hasLeft(request: IncomingMessage): boolean {
  const stream = streamOf(request);
  if (stream === undefined) return !request.socket.destroyed;
  return stream.writableFinished && stream.rstCode === constants.NGHTTP2_NO_ERROR;
}

/**
 * Where what is left of an answered request is read from. Over HTTP/2 it is the stream: Node's request would keep what
 * comes for its reader, and wait for it.
 */
export function restOf(request: IncomingMessage): Rest {
  const stream = streamOf(request);
  if (stream === undefined) return { body: request, isWhole: () => request.complete };
  stream.removeAllListeners("data").pause();
  return { body: stream, isWhole: () => stream.closed || stream.readableEnded };
}

/** The rest of a request, and whether all of it has arrived. */
export type Rest = { readonly body: Readable; isWhole(this: void): boolean };

/** Lets a request that was answered arrive no further. */
export function cutOff(request: IncomingMessage): void {
  const stream = streamOf(request);
  if (stream === undefined) request.destroy();
  else stream.close(constants.NGHTTP2_NO_ERROR);
}

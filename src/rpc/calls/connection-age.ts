import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { jittered } from "../../timing/loop.ts";

/** A connection on which nothing came for so long is likely to be left alone for the moment that its end takes. */
const quietMs = 250;

/**
 * Closes connections of age, so that their clients connect anew, perhaps to a replica that was not there before. Calls
 * under way end as ever. A call that is sent while word of the end is on its way is refused unseen. The
 * implementations of gRPC repeat it by themselves; for others (Connect's among them) the end waits for a quiet moment.
 * So the setting of grpc-js does not do: it waits for nothing.
 */
export function closeAtAge(grpc: Server, maxAgeMs: number): void {
  // The version of grpc-js is pinned, and hands its sessions to nobody.
  const servers: ReadonlyMap<Http2Server, unknown> = Reflect.get(grpc, "http2Servers");
  for (const server of servers.keys()) closeSessionsAtAge(server, maxAgeMs);
}

/** What tells of HTTP/2 connections. */
export type Sessions = { on(event: "session", hear: (session: ServerHttp2Session) => void): unknown };

/** The same for connections of a server of Node's own. */
export function closeSessionsAtAge(server: Sessions, maxAgeMs: number): void {
  server.on("session", (session) => {
    // It ends with its connection, so it need not be unref'd: cleared, such a timer leaves its duration's list behind.
    const timer = setTimeout(() => closeGently(session), jittered(maxAgeMs));
    session.once("close", () => clearTimeout(timer));
  });
}

function closeGently(session: ServerHttp2Session): void {
  const bytesRead = () => (session.destroyed ? 0 : session.socket.bytesRead);
  let seen = bytesRead();
  let lookedMs = performance.now();
  const close = () => {
    clearInterval(timer);
    session.off("stream", meet);
    if (!session.closed) session.close();
  };
  const meet = (_: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    if (headers["user-agent"]?.startsWith("grpc-") === true) close();
  };
  const look = () => {
    // After a stop of this process what has come meanwhile is yet to be read.
    const wasStill = performance.now() - lookedMs > 2 * quietMs;
    const isQuiet = bytesRead() === seen && !wasStill;
    seen = bytesRead();
    lookedMs = performance.now();
    if (session.closed || isQuiet) close();
  };
  // Once in each turn what has come is read, and only then does this look.
  const timer = setInterval(() => setImmediate(look), quietMs).unref();
  session.on("stream", meet);
}

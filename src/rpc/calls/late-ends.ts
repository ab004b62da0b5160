import { constants, type Http2Session, type Http2Stream } from "node:http2";
import type { Socket } from "node:net";

/** Over HTTP/2 one connection has so many calls at most at a time; further ones wait at the client. */
export const mostStreams = 250;

/** So much later it ends, usually, and up to as much again: those that began together do not come back together. */
const usualLateMs = 1_000;
/** So many connections are kept for that; further ones end at once. */
const mostKept = 1_000;
/** A session ends with its socket, which would wait for a client that reads nothing, or leaves its own half open. */
const farewellMs = 250;

/**
 * Has connections of clients that flood end a while later, each after another while: at once they would be there again
 * at once, with as much to be read. Disposing ends those that are kept.
 */
export type LateEnds = Disposable & {
  /** Has one end later, by `now`; at once if too many are kept already. */
  end(this: void, connection: Socket | Http2Session, now: () => void): void;
  /**
   * Has one end later that has asked for this call too many, which is left unanswered until then, as all further ones;
   * where somebody with a key has come to call there meanwhile, only those calls end.
   * A client that takes such calls back has more of them begun than it may have at a time: until its connection ends
   * nothing more is made of what it sends.
   */
  endFor(this: void, session: Http2Session, call: Http2Stream): void;
};

export function createLateEnds({
  lateMs = usualLateMs,
  isInUse = () => false,
}: { lateMs?: number; isInUse?: (connection: object) => boolean } = {}): LateEnds {
  /** What ends each. */
  const kept = new Map<Socket | Http2Session, () => void>();
  /** The calls too many of those that are kept. */
  const left = new WeakMap<Http2Session, Http2Stream[]>();

  function end(connection: Socket | Http2Session, now: () => void): void {
    if (kept.size === mostKept) return now();
    kept.set(connection, now);
    const timer = setTimeout(() => kept.get(connection)?.(), lateMs * (1 + Math.random())).unref();
    connection.once("close", () => {
      kept.delete(connection);
      clearTimeout(timer);
    });
  }

  function shutOut(session: Http2Session): void {
    const socket = socketOf(session);
    if (socket !== undefined && kept.has(session)) kept.set(session, leaveOpen(socket));
    goAway(session);
  }

  function endOrSpare(session: Http2Session): void {
    if (!isInUse(session)) return goAway(session);
    kept.delete(session);
    for (const call of left.get(session) ?? []) call.close(constants.NGHTTP2_REFUSED_STREAM);
    left.delete(session);
  }

  return {
    end,
    endFor(session, call) {
      if (session.destroyed) return;
      const before = left.get(session);
      if (before === undefined) {
        left.set(session, [call]);
        return end(session, () => endOrSpare(session));
      }
      if (before.at(-1)?.closed === true || before.length === mostStreams) return shutOut(session);
      before.push(call);
    },
    [Symbol.dispose]() {
      for (const now of kept.values()) now();
    },
  };
}

/** Ends a session, and tells its client why. */
function goAway(session: Http2Session): void {
  if (session.destroyed) return;
  const socket = socketOf(session);
  session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  session.destroy();
  setTimeout(() => socket?.destroy(), farewellMs).unref();
}

/** Has it stay open whatever its session does; answers what closes it. Node throws away what comes meanwhile. */
function leaveOpen(socket: Socket): () => void {
  const destroy = socket.destroy.bind(socket);
  socket.end = socket.destroy = () => socket;
  return destroy;
}

const itself = Symbol("the socket itself");

/** To be called with each socket that a session over HTTP/2 is to have, since Node hides it behind a likeness. */
export function keepAtHand(socket: Socket): void {
  Object.assign(socket, { [itself]: socket });
}

const socketOf = (session: Http2Session): Socket | undefined =>
  (session.socket as { [itself]?: Socket } | undefined)?.[itself];

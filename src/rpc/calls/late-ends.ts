import { constants, type Http2Session, type Http2Stream } from "node:http2";
import type { Socket } from "node:net";
import { jittered } from "../../timing/loop.ts";

/** Over HTTP/2 one connection has so many calls at most at a time; further ones wait at the client. */
export const mostStreams = 250;

/** About so much later it ends, usually. */
const usualLateMs = 1_250;
/** So many connections are kept for that; further ones end at once. */
const mostKept = 1_000;

/** Connections of clients that flood. */
export type LateEnds = {
  /**
   * Has one end a while later, each after another while: its client comes back at once, with as much to be read again,
   * and again. Answers false if too many are kept already.
   */
  end(this: void, connection: Socket | Http2Session, now: () => void): boolean;
  /**
   * Has one end that has asked for this call too many, which is left unanswered until then, as all further ones. A
   * client that takes such calls back asks for more of them than it may have at a time, so that nothing would be saved
   * by its waiting: its connection ends at once.
   */
  endFor(this: void, session: Http2Session, call: Http2Stream): void;
};

export function createLateEnds({ lateMs = usualLateMs } = {}): LateEnds {
  let kept = 0;
  /** The calls too many of those that are kept. */
  const left = new WeakMap<Http2Session, { latest: Http2Stream; count: number }>();

  function end(connection: Socket | Http2Session, now: () => void): boolean {
    if (kept === mostKept) return false;
    kept += 1;
    const timer = setTimeout(now, jittered(lateMs)).unref();
    connection.once("close", () => {
      kept -= 1;
      clearTimeout(timer);
    });
    return true;
  }

  return {
    end,
    endFor(session, call) {
      if (session.destroyed) return;
      const before = left.get(session);
      if (before === undefined) {
        left.set(session, { latest: call, count: 1 });
        if (!end(session, () => goAway(session))) goAway(session);
        return;
      }
      if (before.latest.closed || before.count === mostStreams) return goAway(session);
      before.latest = call;
      before.count += 1;
    },
  };
}

/** Ends a connection, and tells its client why. */
function goAway(session: Http2Session): void {
  if (session.destroyed) return;
  session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  session.destroy();
}

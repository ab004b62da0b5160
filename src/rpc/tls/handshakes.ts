import type { Socket } from "node:net";
import type { Server, TLSSocket } from "node:tls";
import { neighboursOf } from "../../domain/networks.ts";

export type HandshakeLimits = {
  /** A handshake may take so long, however busy its client is with it. */
  readonly longestMs: number;
  /** So many are under way at most. */
  readonly most: number;
};

export const usualHandshakes: HandshakeLimits = { longestMs: 10_000, most: 512 };

/**
 * Bounds the handshakes of a server in time and number. Where there are too many, the oldest of the address that has
 * most of them makes room for the newest, so that a flood of handshakes that never end drives out itself: an honest
 * one is over in a moment.
 */
export function limitHandshakes(server: Server, { longestMs, most }: HandshakeLimits): void {
  const underWay = new Map<string, Socket>();

  server.on("connection", (socket: Socket) => {
    const place = placeOf(socket);
    const timer = setTimeout(() => underWay.get(place) === socket && socket.destroy(), longestMs).unref();
    underWay.set(place, socket);
    socket.once("close", () => {
      clearTimeout(timer);
      if (underWay.get(place) === socket) underWay.delete(place);
    });
    if (underWay.size > most) oldestOfMost(underWay.values())?.destroy();
  });
  server.on("secureConnection", (socket: TLSSocket) => underWay.delete(placeOf(socket)));
}

// The two sockets of a connection do not know each other; of open connections no two come from the same place.
const placeOf = ({ remoteAddress, remotePort }: Socket) => `${remoteAddress} ${remotePort}`;

function oldestOfMost(sockets: Iterable<Socket>): Socket | undefined {
  const byAddress = [
    ...Map.groupBy(sockets, ({ remoteAddress = "" }) => neighboursOf(remoteAddress)).values(),
  ];
  return byAddress.reduce((one, other) => (other.length > one.length ? other : one), []).at(0);
}

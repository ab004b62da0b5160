import { once } from "node:events";
import { type Server, type Socket, connect, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/**
 * How one request is done harm: it never arrives, it arrives 2 s late, its reply is lost with the connection, or
 * nothing comes back over its connection any more.
 */
export const harms = [
  "cut the request",
  "hold the request",
  "drop the reply",
  "swallow the replies",
] as const;
export type Harm = (typeof harms)[number];

const holdMs = 2_000;

/** Stands between the service and a server, and does to their connections what a network can do. */
export type Proxy = AsyncDisposable & {
  url: string;
  /** Breaks every connection and refuses new ones. */
  cut(): Promise<void>;
  /** Leaves connections open, takes new ones, and passes nothing on. */
  freeze(): void;
  /** Passes everything on so much later, each way. */
  delay(ms: number): void;
  /** Passes on so much later only what comes back. */
  delayReplies(ms: number): void;
  /**
   * Harms the connection of the next request that matches, once. Resolves when it has; `disarm` takes a trap away that
   * nothing has stepped into.
   */
  trap(matches: (request: string) => boolean, harm: Harm): { sprung: Promise<void>; disarm(): void };
  /** Calls back with what the service sends, as it comes in. */
  onRequest(listener: ((request: string) => void) | undefined): void;
  /** Passes everything on again, at once and over new connections. */
  mend(): Promise<void>;
};

type Trap = { matches: (request: string) => boolean; harm: Harm; spring: () => void };

/** `target` is asked anew for every connection: a server that was restarted may be elsewhere. */
export async function startProxy(target: string | (() => string)): Promise<Proxy> {
  const targetUrl = () => new URL(typeof target === "string" ? target : target());
  const sockets = new Set<Socket>();
  let isFrozen = false;
  let delayMs = 0;
  let repliesDelayMs = 0;
  let trap: Trap | undefined;
  let listener: ((request: string) => void) | undefined;

  const own = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  };

  /** Writes in the order of the calls, each after the delay that was asked for then. */
  function createWriter(to: Socket) {
    let last: Promise<void> | undefined;
    async function writeLater(data: Buffer, before: Promise<void> | undefined, ms: number) {
      await Promise.all([before, delay(ms)]);
      if (!to.destroyed) to.write(data);
    }
    return (data: Buffer, extraMs = 0) => {
      if (delayMs + extraMs === 0 && last === undefined) return void to.write(data);
      const mine = writeLater(data, last, delayMs + extraMs).finally(() => {
        if (last === mine) last = undefined;
      });
      last = mine;
    };
  }

  function join(inner: Socket, outer: Socket): void {
    const toServer = createWriter(outer);
    const toService = createWriter(inner);
    let harm: Harm | undefined;
    inner.on("data", (data) => {
      if (isFrozen) return;
      if (listener !== undefined || trap !== undefined) {
        const request = data.toString("latin1");
        listener?.(request);
        if (trap?.matches(request) === true) {
          ({ harm } = trap);
          trap.spring();
          trap = undefined;
          if (harm === "cut the request") return void inner.destroy();
          if (harm === "hold the request") return toServer(data, holdMs);
        }
      }
      toServer(data);
    });
    outer.on("data", (data) => {
      if (isFrozen || harm === "swallow the replies") return;
      if (harm === "drop the reply") inner.destroy();
      else toService(data, repliesDelayMs);
    });
    inner.on("close", () => outer.destroy());
    outer.on("close", () => inner.destroy());
  }

  const server: Server = createServer((inner) => {
    own(inner);
    if (isFrozen) return;
    const { hostname, port } = targetUrl();
    const outer = connect(Number(port), hostname);
    own(outer);
    join(inner, outer);
  });
  const breakAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  const cut = async () => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    breakAll();
    await closed;
  };

  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  const url = targetUrl();
  url.host = `127.0.0.1:${address.port}`;
  return {
    url: url.href,
    cut,
    freeze: () => void (isFrozen = true),
    delay: (ms) => void (delayMs = ms),
    delayReplies: (ms) => void (repliesDelayMs = ms),
    trap(matches, harm) {
      const { promise: sprung, resolve: spring } = Promise.withResolvers<void>();
      const mine = { matches, harm, spring };
      trap = mine;
      return { sprung, disarm: () => void (trap === mine && (trap = undefined)) };
    },
    onRequest: (given) => void (listener = given),
    async mend() {
      breakAll();
      isFrozen = false;
      delayMs = 0;
      repliesDelayMs = 0;
      trap = undefined;
      if (!server.listening) await once(server.listen(address.port, "127.0.0.1"), "listening");
    },
    [Symbol.asyncDispose]: cut,
  };
}

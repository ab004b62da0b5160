import { once } from "node:events";
import { type Server, type Socket, connect, createServer } from "node:net";

/** Stands between the service and a server that is to be away for a while, as far as the service can see. */
export type Proxy = AsyncDisposable & {
  url: string;
  /** Breaks every connection and refuses new ones. */
  cut(): Promise<void>;
  /** Leaves connections open, takes new ones, and passes nothing on. */
  freeze(): void;
  /** Passes everything on again, over new connections. */
  mend(): Promise<void>;
};

export async function startProxy(target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let isFrozen = false;

  const own = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  };
  const pass = (from: Socket, to: Socket) => {
    from.on("data", (data) => isFrozen || to.write(data));
    from.on("close", () => to.destroy());
  };
  const server: Server = createServer((inner) => {
    own(inner);
    if (isFrozen) return;
    const outer = connect(Number(port), hostname);
    own(outer);
    pass(inner, outer);
    pass(outer, inner);
  });
  const breakAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  const cut = async () => {
    const closed = once(server, "close");
    server.close();
    breakAll();
    await closed;
  };

  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  const url = new URL(target);
  url.host = `127.0.0.1:${address.port}`;
  return {
    url: url.href,
    cut,
    freeze: () => void (isFrozen = true),
    async mend() {
      breakAll();
      isFrozen = false;
      if (!server.listening) await once(server.listen(address.port, "127.0.0.1"), "listening");
    },
    [Symbol.asyncDispose]: async () => (server.listening ? cut() : undefined),
  };
}

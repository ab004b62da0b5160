import { once } from "node:events";
import { type Socket, connect, createServer } from "node:net";

/**
 * Stands before a real server and changes one text in what it answers, so that it looks like one that cannot be had
 * here. The new text must be as long as the old one.
 */
export async function startRewritingProxy(
  target: string,
  from: string,
  to: string,
): Promise<AsyncDisposable & { url: string }> {
  if (from.length !== to.length) throw new Error(`${from} and ${to} are not of one length`);
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const own = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  };
  const server = createServer((inner) => {
    const outer = connect(Number(port), hostname);
    own(inner);
    own(outer);
    inner.pipe(outer);
    outer.on("data", (data) => inner.write(data.toString("latin1").replaceAll(from, to), "latin1"));
    outer.on("close", () => inner.destroy());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  const url = new URL(target);
  url.port = String(address !== null && typeof address === "object" ? address.port : 0);
  return {
    url: url.href,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

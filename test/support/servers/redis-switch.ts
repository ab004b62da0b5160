import { once } from "node:events";
import { type Socket, connect, createServer } from "node:net";

/** An address that stands for one server and then for another, as that of a Redis with a standby does. */
export type RedisSwitch = AsyncDisposable & {
  readonly url: string;
  /** New connections are to this server from now on; the old ones break. */
  turnTo(port: number): void;
};

export async function startRedisSwitch(firstPort: number): Promise<RedisSwitch> {
  const sockets = new Set<Socket>();
  let port = firstPort;
  const breakAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((inner) => {
    const outer = connect(port, "127.0.0.1");
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  return {
    url: `redis://127.0.0.1:${address !== null && typeof address === "object" ? address.port : 0}`,
    turnTo(to) {
      port = to;
      breakAll();
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      breakAll();
      await closed;
    },
  };
}

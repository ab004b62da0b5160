import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { Webhook } from "standardwebhooks";
import { createSecret } from "../../src/webhooks/signing.ts";
import type { Pair } from "../support/servers/authority.ts";

/** What is sent in every test. */
export const message = { id: "msg_1", secrets: [createSecret()], body: '{"type":"test","data":{}}' } as const;

/** The bytes of an answer. */
export const reply = (status: string, body = "", ...headers: string[]): string =>
  [`HTTP/1.1 ${status}`, `content-length: ${Buffer.byteLength(body)}`, ...headers, "", body].join("\r\n");

/** What a receiver does with a request that it has read, or with a connection on which it reads none. */
export type Conduct =
  | string
  | { readonly onRequest: (socket: Socket, count: number) => void }
  | { readonly onConnection: (socket: Socket) => void };

export type Receiver = Awaited<ReturnType<typeof startReceiver>>;

/** A receiver on loopback, over TLS where a certificate is given, that writes what it likes. */
export async function startReceiver(conduct: Conduct, pair?: Pair) {
  /** The head and the body of each request. */
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;

  function take(socket: Socket): void {
    connections += 1;
    sockets.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket));
    if (typeof conduct !== "string" && "onConnection" in conduct) return conduct.onConnection(socket);
    let read = "";
    socket.on("data", (chunk) => {
      read += chunk.toString();
      if (!read.endsWith(message.body)) return;
      requests.push(read);
      read = "";
      if (typeof conduct === "string") socket.write(conduct);
      else conduct.onRequest(socket, requests.length);
    });
  }

  const server = pair === undefined ? createServer(take) : createTlsServer({ ...pair }, take);
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http${pair === undefined ? "" : "s"}://127.0.0.1:${port}/hooks?a=1`,
    requests,
    sockets,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}

/** What the reference makes of a request as it came, or the error that it throws. */
export function verified(request: string): unknown {
  const [head = "", body = ""] = request.split("\r\n\r\n");
  const headers = Object.fromEntries(
    head
      .split("\r\n")
      .slice(1)
      .map((line) => line.split(": ", 2)),
  );
  return new Webhook(message.secrets[0]).verify(body, headers);
}

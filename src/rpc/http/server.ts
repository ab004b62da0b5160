import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createSecureServer } from "node:http2";
import type { Server, Socket } from "node:net";
import { jittered } from "../../timing/loop.ts";
import { closeSessionsAtAge } from "../calls/connection-age.ts";
import type { Certificates } from "../tls/certificates.ts";
import { limitHandshakes, usualHandshakes } from "../tls/handshakes.ts";
import { keepAtHand, mostStreams } from "../calls/late-ends.ts";
import { AnswerOverHttp2, closeIdleSessions } from "./over-http2.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export type HttpServer = {
  readonly server: Server;
  /** Whether a request came on a connection that should take no more. */
  isAged(request: IncomingMessage): boolean;
  closeAllConnections(): void;
};

export type HttpServerOptions = {
  /** With them it speaks TLS, and HTTP/2 too. */
  readonly certificates?: Certificates | undefined;
  readonly requestTimeout: number;
  /** How long a connection stays open that has nothing to do. */
  readonly keepAliveTimeout: number;
  readonly connectionMaxAgeMs: number;
  /** How long the headers of a request may take to arrive; a minute if not given. */
  readonly headersTimeout?: number;
};

/** Node looks so often for those who are late. */
const lookMs = 30_000;

/** A server that does not listen yet. */
export function createHttpServer(options: HttpServerOptions, answer: Answer): HttpServer {
  const { certificates, requestTimeout, keepAliveTimeout, connectionMaxAgeMs } = options;
  const { headersTimeout = 60_000 } = options;
  const agesAtMs = new WeakMap<Socket, number>();
  const noteAge = (socket: Socket) => agesAtMs.set(socket, performance.now() + jittered(connectionMaxAgeMs));
  const isAged = ({ socket }: IncomingMessage) => (agesAtMs.get(socket) ?? Infinity) <= performance.now();
  const connectionsCheckingInterval = Math.min(lookMs, headersTimeout);
  const timeouts = { requestTimeout, headersTimeout, keepAliveTimeout, connectionsCheckingInterval };
  if (certificates === undefined) {
    const server = createServer(timeouts, answer).on("connection", noteAge);
    return { server, isAged, closeAllConnections: () => server.closeAllConnections() };
  }

  const server = createSecureServer({
    ...certificates.options,
    allowHTTP1: true,
    settings: { maxConcurrentStreams: mostStreams },
    Http2ServerResponse: AnswerOverHttp2,
  });
  // They are those of its connections over HTTP/1.1.
  Object.assign(server, timeouts);
  certificates.keepFresh(server);
  limitHandshakes(server, usualHandshakes);
  closeIdleSessions(server, keepAliveTimeout);
  if (connectionMaxAgeMs !== Infinity) closeSessionsAtAge(server, connectionMaxAgeMs);
  server.on("secureConnection", noteAge);
  server.on("secureConnection", keepAtHand);
  // What is answered here does not tell one protocol from the other, but for what over-http2.ts does.
  server.on("request", answer as never);

  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return {
    server,
    isAged,
    closeAllConnections() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

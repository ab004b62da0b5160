import { createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { setTimeout as delay } from "node:timers/promises";
import {
  logVerbosity,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  setLogVerbosity,
} from "@grpc/grpc-js";
import { createBytesInHand, heapShare } from "../requests/bytes-in-hand.ts";
import { createCallsInHand } from "../calls/calls-in-hand.ts";
import { createLateEnds, keepAtHand, mostStreams } from "../calls/late-ends.ts";
import { closeAtAge } from "../calls/connection-age.ts";
import { answerGrpcCall, type GrpcMethod } from "./call.ts";
import { composeMethod } from "../calls/invoke.ts";
import { ruleStreams, type StreamRule } from "./streams.ts";
import { findAddressThrough } from "../gate/caller-address.ts";
import { listen, maxMessageBytes, type Listener, type ListenerOptions } from "../listener.ts";
import type { Certificates } from "../tls/certificates.ts";
import { limitHandshakes, usualHandshakes } from "../tls/handshakes.ts";
import { createStrangers, settling, wantedOf } from "../gate/strangers.ts";
import { createLargeTurns } from "../requests/large-turns.ts";
import { requestLimits } from "../requests/limits.ts";

/** A connection without a call is closed after this, even if its client does not do its part. */
const goodbyeMs = 250;

/** Serves the table as gRPC over HTTP/2, with TLS if there are certificates. */
export async function startGrpcListener(options: ListenerOptions): Promise<Listener> {
  const { services, refused = () => {}, connectionMaxAgeMs = Infinity } = options;
  const { strangers = createStrangers() } = options;
  const gate = settling(options.gate);
  const { bytesInHand = createBytesInHand({ maxBytes: heapShare() }) } = options;
  const { largeTurns = createLargeTurns() } = options;
  // grpc-js would print metadata that it cannot read, such as a mistyped API key.
  setLogVerbosity(logVerbosity.NONE);

  const calls = createCallsInHand();
  const interceptors = [...(options.observe ?? []), calls.interceptor, ...options.interceptors];
  const cuts: GrpcMethod["cuts"] = new Set();
  calls.cut.addEventListener("abort", () => {
    for (const cut of cuts) cut(calls.cut.reason);
  });

  const grpc = createGrpcServer();
  const rules = new Map<string, StreamRule>();
  for (const spec of services.flatMap((entry) => Object.values(entry.methods))) {
    const path = `/${spec.method.parent.typeName}/${spec.method.name}`;
    const invoke = composeMethod(spec, interceptors);
    const limits = requestLimits(spec.method);
    rules.set(path, ruleOf({ spec, gate, calls, cuts, invoke, limits, bytesInHand, largeTurns, refused }));
    grpc.register(path, unreached, asItIs, asItIs, "bidi");
  }
  const { findAddress = findAddressThrough(undefined) } = options;
  const lateEnds = createLateEnds({ isInUse: strangers.isInUse });
  ruleStreams(grpc, rules, { strangers, findAddress, lateEnds });

  // The sockets are kept at hand: grpc-js alone would wait for ever for a client that does not close its own.
  const sockets = new Set<Socket>();
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  if (connectionMaxAgeMs !== Infinity) closeAtAge(grpc, connectionMaxAgeMs);
  const server = createTransport(options.certificates, (socket) => {
    keepAtHand(socket);
    injector.injectConnection(socket);
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const port = await listen(server, options, "GRPC_PORT");

  async function stop(graceMs: number): Promise<void> {
    const closed = new Promise((resolve) => server.close(resolve));
    grpc.tryShutdown(() => {});
    await calls.finish(graceMs);
    await Promise.race([closed, delay(goodbyeMs, undefined, { ref: false })]);
    lateEnds[Symbol.dispose]();
    for (const socket of sockets) socket.destroy();
    await closed;
  }
  let stopped: Promise<void> | undefined;
  return { port, stop: (graceMs) => (stopped ??= stop(graceMs)) };
}

/** Accepts connections, and hands over those that may speak HTTP/2. */
function createTransport(certificates: Certificates | undefined, handOver: (socket: Socket) => void) {
  if (certificates === undefined) return createServer(handOver);
  const server = createTlsServer({ ...certificates.options, ALPNProtocols: ["h2"] }, handOver);
  certificates.keepFresh(server);
  limitHandshakes(server, usualHandshakes);
  return server;
}

const ruleOf = (method: GrpcMethod): StreamRule => ({
  maxBytes: method.limits.maxBytes,
  wanted: wantedOf(method.spec.method),
  takeOver: (stream, settled) => (_, call) =>
    new ServerInterceptingCall(call, { start: () => answerGrpcCall(method, call, { stream, settled }) }),
});

function createGrpcServer(): Server {
  return new Server({
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
    "grpc.max_concurrent_streams": mostStreams,
    // A client whose machine has gone without a word is noticed after the sum of these.
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.enable_channelz": 0,
  });
}

const asItIs = (bytes: Buffer) => bytes;

const unreached = () => {
  throw new Error("every call is taken over before it gets here");
};

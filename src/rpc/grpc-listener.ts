import { lookup } from "node:dns/promises";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import {
  logVerbosity,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  setLogVerbosity,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import { createCallsInHand } from "./calls-in-hand.ts";
import { answerGrpcCall, type GrpcMethod } from "./grpc-call.ts";
import { composeMethod } from "./grpc-invoke.ts";
import { cannotListen, maxMessageBytes, type Listener, type ListenerOptions } from "./listener.ts";

/** Serves the table as gRPC over HTTP/2 without TLS. */
export async function startGrpcListener(options: ListenerOptions): Promise<Listener> {
  const { services, gate } = options;
  // grpc-js would print metadata that it cannot read, such as a mistyped API key.
  setLogVerbosity(logVerbosity.NONE);

  const calls = createCallsInHand();
  const interceptors = [calls.interceptor, ...options.interceptors];
  const methods = new Map<string, GrpcMethod>();
  const cuts: GrpcMethod["cuts"] = new Set();
  const server = createServer(methods);
  for (const spec of services.flatMap((entry) => Object.values(entry.methods))) {
    const path = `/${spec.method.parent.typeName}/${spec.method.name}`;
    methods.set(path, { spec, gate, calls, cuts, invoke: composeMethod(spec, interceptors) });
    server.register(path, unreached, asItIs, asItIs, "bidi");
  }
  const port = await bind(server, options);

  async function stop(graceMs: number): Promise<void> {
    const closed = promisify(server.tryShutdown.bind(server))();
    if (await calls.finish(closed, graceMs)) return;
    for (const cut of cuts) cut(calls.cut.reason);
    // One turn of the loop, for the answers to leave.
    await setImmediate();
    // It finds the connections through channelz, which is on by default and has to stay so.
    server.forceShutdown();
    await closed;
  }
  let stopped: Promise<void> | undefined;
  return { port, stop: (graceMs) => (stopped ??= stop(graceMs)) };
}

function createServer(methods: ReadonlyMap<string, GrpcMethod>): Server {
  const takeOver: ServerInterceptor = ({ path }, call) => {
    const method = methods.get(path);
    return new ServerInterceptingCall(call, method && { start: () => answerGrpcCall(method, call) });
  };
  return new Server({
    interceptors: [takeOver],
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
    // A client whose machine has gone without a word is noticed after the sum of these.
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
  });
}

/** Takes the first address of a name, as node:http does: grpc-js would take all it can get and not say which it cannot. */
async function bind(server: Server, { host, port }: ListenerOptions) {
  try {
    const { address, family } = await lookup(host);
    const authority = family === 6 ? `[${address}]` : address;
    return await promisify(server.bindAsync.bind(server))(
      `${authority}:${port}`,
      ServerCredentials.createInsecure(),
    );
  } catch (cause) {
    throw cannotListen(host, port, cause);
  }
}

const asItIs = (bytes: Buffer) => bytes;

const unreached = () => {
  throw new Error("every call is taken over before it gets here");
};

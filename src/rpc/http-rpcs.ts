import type { IncomingMessage, ServerResponse } from "node:http";
import {
  createConnectRouter,
  createContextKey,
  createContextValues,
  type ContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import type { CallsInHand } from "./calls-in-hand.ts";
import { deliveryOf } from "./delivery.ts";
import { sendText } from "./http-pages.ts";
import { asConnectError } from "./last-resort.ts";
import { maxMessageBytes, type ListenerOptions } from "./listener.ts";
import { blameCaller } from "./undecodable.ts";

/** The table as handlers for Connect and gRPC-Web, by path. */
export function createRpcs(
  options: ListenerOptions,
  calls: CallsInHand,
): ReadonlyMap<string, UniversalHandler> {
  const { services, interceptors, gate } = options;
  // Options belong here and nowhere else: given with a method, they would switch gRPC on again.
  const router = createConnectRouter({
    grpc: false,
    jsonOptions: { alwaysEmitImplicit: true, ignoreUnknownFields: false },
    // Brotli at its default quality takes seconds for a large answer.
    acceptCompression: [compressionGzip],
    readMaxBytes: maxMessageBytes,
    writeMaxBytes: maxMessageBytes,
    // setTimeout() takes no more.
    maxTimeoutMs: 2 ** 31 - 1,
    shutdownSignal: calls.cut,
    interceptors: [noteAnswer, answerInTime, calls.interceptor, ...interceptors],
    async requestGate(context) {
      blameCaller(context);
      calls.admit();
      await gate(context);
    },
  });
  for (const { method, impl } of services.flatMap((entry) => Object.values(entry.methods)))
    router.rpc(method, impl);
  return new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
}

/** True once the answer is the handler's own, and not a refusal. */
const isAnswered = createContextKey(false);

const noteAnswer: Interceptor = (next) => async (request) => {
  const response = await next(request);
  request.contextValues.set(isAnswered, true);
  return response;
};

/** Answers a call whose deadline has come, or whose client has gone, without waiting for its handler. */
const answerInTime: Interceptor = (next) => async (request) => {
  if (request.stream) return await next(request);
  const { signal } = request;
  const { promise: over, reject } = Promise.withResolvers<never>();
  const abort = () => reject(asConnectError(signal.reason, signal));
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([next(request), over]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
};

/** Rejects if the answer could not be written to its end; what was written stays. */
export async function answerRpc(rpc: UniversalHandler, request: IncomingMessage, response: ServerResponse) {
  const values = createContextValues();
  const call = readCall(request, response, values);
  if (!call) return sendText(response, 400, "The Host header is not valid.");
  let isSent = false;
  // It also "finishes" if its socket was destroyed before.
  response.once("finish", () => (isSent = response.statusCode === 200 && !request.socket.destroyed));
  response.once("close", () => deliveryOf(values).end(isSent && values.get(isAnswered)));
  await universalResponseToNodeResponse(await rpc(call), response);
}

function readCall(request: IncomingMessage, response: ServerResponse, values: ContextValues) {
  try {
    const call = universalRequestFromNodeRequest(request, response, undefined, values);
    // Connect stops reading a body that is too large; by default that destroys the connection, perhaps before the answer.
    return { ...call, body: request.iterator({ destroyOnReturn: false }) };
  } catch {
    return undefined;
  }
}
